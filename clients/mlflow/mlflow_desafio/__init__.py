"""MLflow's deployments plugin for mlops-desafio."""

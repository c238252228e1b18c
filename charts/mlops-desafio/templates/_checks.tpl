{{/* Combinations of values that cannot work, each refused with a sentence. */}}
{{- define "desafio.checks" -}}
{{- $v := .Values -}}
{{- if and (not $v.mlflow.enabled) (not $v.mlflow.externalUri) -}}
{{- fail "mlflow.enabled is false, so mlflow.externalUri must name an MLflow tracking server." -}}
{{- end -}}
{{- if and $v.mlflow.enabled $v.mlflow.externalUri -}}
{{- fail "mlflow.externalUri is set, so mlflow.enabled must be false: the API speaks to one MLflow." -}}
{{- end -}}
{{- if and $v.mlflow.enabled (not $v.postgres.enabled) (not $v.postgres.existingSecret) -}}
{{- fail "postgres.enabled is false, so postgres.existingSecret must name a Secret with the key uri." -}}
{{- end -}}
{{- if and $v.mlflow.enabled (not $v.minio.enabled) (not $v.minio.existingSecret) (not $v.mlflow.serviceAccount.annotations) -}}
{{- fail "minio.enabled is false, so minio.existingSecret must name a Secret with the keys access-key and secret-key (or mlflow.serviceAccount.annotations an identity that needs none)." -}}
{{- end -}}
{{- $outside := or (not $v.mlflow.enabled) (not $v.postgres.enabled) (not $v.minio.enabled) -}}
{{- if and $outside $v.networkPolicy.enabled (not $v.networkPolicy.externalEgress) -}}
{{- fail "A part lies outside of the chart, so networkPolicy.externalEgress must allow the way to it (or networkPolicy.enabled be false)." -}}
{{- end -}}
{{- if and (or $v.backup.enabled $v.backup.restore) (not (and $v.mlflow.enabled $v.postgres.enabled)) -}}
{{- fail "backup needs the chart's own MLflow and Postgres: what lies elsewhere is backed up there." -}}
{{- end -}}
{{- if and $v.backup.restore (not $v.backup.enabled) -}}
{{- fail "backup.restore needs backup.enabled, which knows where the copies are." -}}
{{- end -}}
{{- if and $v.api.autoscaling.enabled (gt (int $v.api.autoscaling.minReplicas) (int $v.api.autoscaling.maxReplicas)) -}}
{{- fail "api.autoscaling.minReplicas is above api.autoscaling.maxReplicas." -}}
{{- end -}}
{{- if and $v.api.grpc.enabled (eq (int $v.api.grpc.port) 8000) -}}
{{- fail "api.grpc.port is 8000, where the pods serve HTTP; choose another one." -}}
{{- end -}}
{{- if and $v.api.grpc.enabled (eq (int $v.api.grpc.port) (int $v.api.service.port)) -}}
{{- fail "api.grpc.port is api.service.port, where the Service has HTTP; choose another one." -}}
{{- end -}}
{{- if and $v.api.httpRoute.enabled (not $v.api.httpRoute.parentRefs) -}}
{{- fail "api.httpRoute.enabled is true, so api.httpRoute.parentRefs must name a Gateway, as in {name: public, namespace: gateways}." -}}
{{- end -}}
{{- range $v.api.extraEnv -}}
{{- if hasPrefix "SERVICE_" .name -}}
{{- fail (printf "api.extraEnv has %s, which is a setting of the service: put it in api.settings." .name) -}}
{{- end -}}
{{- end -}}
{{- if eq $v.training.executor "kubernetes" -}}
{{- include "desafio.trainingChecks" . -}}
{{- end -}}
{{- if and $v.mlflow.gc.enabled (not $v.mlflow.enabled) -}}
{{- fail "mlflow.gc needs the chart's own MLflow: what lies elsewhere is removed there." -}}
{{- end -}}
{{- end }}

{{/* The same of trainings as Jobs. What the API server would refuse is refused here, before a training is lost to it. */}}
{{- define "desafio.trainingChecks" -}}
{{- $v := .Values -}}
{{- $requests := $v.training.resources.requests | default dict -}}
{{- $limits := $v.training.resources.limits | default dict -}}
{{- if not $limits.memory -}}
{{- fail "training.executor is kubernetes, so training.resources.limits.memory must say what a training may take." -}}
{{- end -}}
{{- if include "desafio.above" (list "512Mi" $limits.memory) -}}
{{- fail (printf "training.resources.limits.memory is %v: a training needs 512Mi or more." $limits.memory) -}}
{{- end -}}
{{- range $resource, $limit := $limits -}}
{{- $request := get $requests $resource -}}
{{- if and $request (include "desafio.above" (list $request $limit)) -}}
{{- fail (printf "training.resources.requests.%s is %v, above its limit of %v." $resource $request $limit) -}}
{{- end -}}
{{- end -}}
{{- $disk := $v.api.settings.trainingDiskBytes | default "2Gi" -}}
{{- $storage := get $limits "ephemeral-storage" -}}
{{- if and $storage (include "desafio.above" (list $disk $storage)) -}}
{{- fail (printf "training.resources.limits.ephemeral-storage is %v, below what a training may write (api.settings.trainingDiskBytes, 2Gi unless set): its pod would be evicted before that is told." $storage) -}}
{{- end -}}
{{- if hasKey $v.api.settings "trainingSeconds" -}}
{{- fail "training.executor is kubernetes, so training.deadlineSeconds bounds a training: leave api.settings.trainingSeconds out." -}}
{{- end -}}
{{- if eq (include "desafio.serviceAccount" (list . "api")) "default" -}}
{{- fail "training.executor is kubernetes, so the API needs an account of its own (api.serviceAccount.create, or a name): every pod of the namespace without one has the account default." -}}
{{- end -}}
{{- range $v.training.extraEnv -}}
{{- if or (hasPrefix "SERVICE_" .name) (eq .name "TRAINING") -}}
{{- fail (printf "training.extraEnv has %s, which the chart and the service set themselves." .name) -}}
{{- end -}}
{{- end -}}
{{- if and $v.networkPolicy.enabled (not (include "desafio.apiServer" .)) -}}
{{- fail "training.executor is kubernetes, so training.apiServer.cidrs must have the addresses of the API server (kubectl get endpointslices -n default kubernetes): Helm could not ask the cluster for them. Or networkPolicy.enabled must be false." -}}
{{- end -}}
{{- end }}

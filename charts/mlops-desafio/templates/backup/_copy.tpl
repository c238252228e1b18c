{{/* The pod that makes a copy. */}}
{{- define "desafio.copy" -}}
restartPolicy: Never
{{ include "desafio.pod" (list . 10001) }}
serviceAccountName: {{ include "desafio.serviceAccount" (list . "mlflow") }}
initContainers:
  # The database first: MLflow writes an object before the row that names it.
  - name: database
    image: {{ include "desafio.image" (list . .Values.postgres.image) }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    command: [sh, -ceu]
    args:
      - |
        until pg_isready -q; do sleep 2; done
        # What interrupted copies left; two that are made at one time do not meet.
        find /backup -maxdepth 1 -name 'arriving-*' -mmin +1440 -exec rm -rf {} +
        mkdir "/backup/arriving-$HOSTNAME"
        pg_dump --format custom --no-owner --file "/backup/arriving-$HOSTNAME/database.dump"
    {{- include "desafio.container" . | nindent 4 }}
    env:
      - {name: PGHOST, value: {{ include "desafio.name" (list . "postgres") }}}
      - {name: PGUSER, value: mlflow}
      - {name: PGDATABASE, value: mlflow}
      - {name: PGCONNECT_TIMEOUT, value: "10"}
      {{- include "desafio.databasePassword" . | nindent 6 }}
    resources:
      {{- toYaml .Values.backup.resources | nindent 6 }}
    volumeMounts:
      - {name: backup, mountPath: /backup}
containers:
  - name: objects
    image: {{ include "desafio.image" (list . .Values.image) }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    command: [python3, /scripts/backup.py, {{ .Values.backup.keep | quote }}]
    {{- include "desafio.container" . | nindent 4 }}
    env:
      - {name: BUCKET, value: {{ .Values.minio.bucket }}}
      {{- include "desafio.mlflowEnvironment" . | nindent 6 }}
    resources:
      {{- toYaml .Values.backup.resources | nindent 6 }}
    volumeMounts:
      - {name: backup, mountPath: /backup}
      - {name: scripts, mountPath: /scripts, readOnly: true}
      - {name: tmp, mountPath: /tmp}
volumes:
  - name: backup
    persistentVolumeClaim:
      claimName: {{ include "desafio.backupClaim" . }}
  - name: scripts
    configMap:
      name: {{ include "desafio.name" (list . "backup") }}
  - name: tmp
    emptyDir: {}
{{- end }}

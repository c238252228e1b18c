{{/* The claim of the volume that holds the copies. */}}
{{- define "desafio.backupClaim" -}}
{{- default (include "desafio.name" (list . "backup")) .Values.backup.existingClaim -}}
{{- end }}

{{/* Containers that fill an empty database and bucket from a copy, before MLflow's server begins. */}}
{{- define "desafio.restore" -}}
- name: restore-objects
  image: {{ include "desafio.image" (list . .Values.image) }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [python3, /scripts/restore.py, {{ .Values.backup.restore | quote }}]
  {{- include "desafio.container" . | nindent 2 }}
  env:
    - {name: BUCKET, value: {{ .Values.minio.bucket }}}
    {{- include "desafio.mlflowEnvironment" . | nindent 4 }}
  resources:
    {{- toYaml .Values.backup.resources | nindent 4 }}
  volumeMounts:
    - {name: backup, mountPath: /backup, readOnly: true}
    - {name: scripts, mountPath: /scripts, readOnly: true}
    - {name: choice, mountPath: /choice}
    - {name: tmp, mountPath: /tmp}
- name: restore-database
  image: {{ include "desafio.image" (list . .Values.postgres.image) }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [sh, -ceu]
  args:
    - |
      dump=$(cat /choice/dump)
      test -n "$dump" || exit 0
      # In one transaction: a restore that is interrupted leaves the database empty.
      pg_restore --single-transaction --no-owner --dbname mlflow "$dump"
      echo "restored $dump"
  {{- include "desafio.container" . | nindent 2 }}
  env:
    - {name: PGHOST, value: {{ include "desafio.name" (list . "postgres") }}}
    - {name: PGUSER, value: mlflow}
    - {name: PGCONNECT_TIMEOUT, value: "10"}
    {{- include "desafio.databasePassword" . | nindent 4 }}
  resources:
    {{- toYaml .Values.backup.resources | nindent 4 }}
  volumeMounts:
    - {name: backup, mountPath: /backup, readOnly: true}
    - {name: choice, mountPath: /choice, readOnly: true}
{{- end }}

{{/* Their volumes. */}}
{{- define "desafio.restoreVolumes" -}}
- name: backup
  persistentVolumeClaim:
    claimName: {{ include "desafio.backupClaim" . }}
- name: scripts
  configMap:
    name: {{ include "desafio.name" (list . "backup") }}
- name: choice
  emptyDir: {}
{{- end }}

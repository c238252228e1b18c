{{/* The rule of a NetworkPolicy that lets a pod look names up. */}}
{{- define "desafio.toDns" -}}
- to:
    {{- toYaml .Values.networkPolicy.dns | nindent 4 }}
  ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
{{- end }}

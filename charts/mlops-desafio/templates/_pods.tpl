{{/* What every pod and every container of the chart has in common. */}}

{{/*
The head of a pod's spec: restricted, without a token, without the variables that Kubernetes makes
from Services. Call it with (list . <user>), the numeric user that its image is made for; a third entry
that is true gives it a token.
*/}}
{{- define "desafio.pod" -}}
{{- $root := index . 0 -}}
{{- $user := index . 1 -}}
automountServiceAccountToken: {{ and (gt (len .) 2) (last .) }}
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ $user }}
  runAsGroup: {{ $user }}
  fsGroup: {{ $user }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* A container's security context: nothing but what it is given. */}}
{{- define "desafio.container" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{/*
The labels of a part's pods; of those that are given, none takes the place of one of the chart's, by
which they are selected. Call it with (list . "api").
*/}}
{{- define "desafio.podLabels" -}}
{{- $given := (index (index . 0).Values (index . 1)).labels -}}
{{- toYaml (merge (fromYaml (include "desafio.labels" .)) (deepCopy $given)) -}}
{{- end }}

{{/* The account of a part's pods: its own, a given one, or the namespace's default. Call it with (list . "api"). */}}
{{- define "desafio.serviceAccount" -}}
{{- $account := (index (index . 0).Values (index . 1)).serviceAccount -}}
{{- default (ternary (include "desafio.name" .) "default" $account.create) $account.name -}}
{{- end }}

{{/*
Where a part's pods are put, and how much they matter: its priority class, nodeSelector, tolerations,
spread and affinity; without an affinity, rather on nodes that have no such pod yet. Call it with
(list . "api").
*/}}
{{- define "desafio.placement" -}}
{{- with index (index . 0).Values (index . 1) -}}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
affinity:
  {{- if .affinity }}
  {{- toYaml .affinity | nindent 2 }}
  {{- else }}
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- include "desafio.selector" $ | nindent 14 }}
  {{- end }}
{{- end -}}
{{- end }}

{{/* The claim for a part's volume. It outlives the release. Call it with (list . "postgres"). */}}
{{- define "desafio.volume" -}}
{{- with (index (index . 0).Values (index . 1)).volume -}}
- metadata:
    name: data
    labels:
      {{- include "desafio.selector" $ | nindent 6 }}
  spec:
    accessModes: [ReadWriteOnce]
    {{- with .storageClass }}
    storageClassName: {{ . }}
    {{- end }}
    resources:
      requests:
        storage: {{ .size }}
{{- end -}}
{{- end }}

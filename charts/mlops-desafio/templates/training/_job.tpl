{{/*
The Job of a training, which the service completes: with a name, labels, the training's id and, for a
search, the number of pods. It gets no Secret and no token; what it needs it asks of MLflow.
*/}}
{{- define "desafio.trainingJob" -}}
{{- $name := include "desafio.name" (list . "training") -}}
{{- with .Values.training -}}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ $name }}
  labels:
    {{- include "desafio.labels" (list $ "training") | nindent 4 }}
    {{- with .queueName }}
    kueue.x-k8s.io/queue-name: {{ . | quote }}
    {{- end }}
spec:
  activeDeadlineSeconds: {{ .deadlineSeconds }}
  ttlSecondsAfterFinished: {{ .ttlSeconds }}
  # What the cluster does to a pod is tried once more, what a training does is not: all that the
  # program finds out ends with 0, a bug with 1, and the kernel's want of memory with 137.
  backoffLimit: 1
  podFailurePolicy:
    rules:
      - action: Count
        onPodConditions:
          - {type: DisruptionTarget, status: "True"}
      - action: FailJob
        onExitCodes: {containerName: training, operator: In, values: [137]}
      - action: FailJob
        onExitCodes: {containerName: training, operator: In, values: [1]}
  template:
    metadata:
      labels:
        {{- include "desafio.podLabels" (list $ "training") | nindent 8 }}
      {{- with .annotations }}
      annotations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      restartPolicy: Never
      {{- include "desafio.pod" (list $ 10001) | nindent 6 }}
      serviceAccountName: {{ $name }}
      {{- include "desafio.placement" (list $ "training") | nindent 6 }}
      terminationGracePeriodSeconds: 30
      containers:
        - name: training
          image: {{ include "desafio.image" (list $ $.Values.image) }}
          imagePullPolicy: {{ $.Values.image.pullPolicy }}
          command: [python3, -m, service.pod]
          {{- include "desafio.container" $ | nindent 10 }}
          env:
            - {name: SERVICE_MLFLOW_URI, value: {{ include "desafio.mlflowUri" $ | quote }}}
            - {name: SERVICE_TRAINING_SECONDS, value: {{ .deadlineSeconds | quote }}}
            - name: SERVICE_TRAINING_MEMORY_BYTES
              valueFrom:
                resourceFieldRef: {containerName: training, resource: limits.memory, divisor: "1"}
            {{- with $.Values.api.settings.trainingDiskBytes }}
            - {name: SERVICE_TRAINING_DISK_BYTES, value: {{ printf "%.0f" (float64 .) | quote }}}
            {{- end }}
            {{- with $.Values.api.settings.logLevel }}
            - {name: SERVICE_LOG_LEVEL, value: {{ . | quote }}}
            {{- end }}
            {{- with .extraEnv }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          resources:
            {{- toYaml .resources | nindent 12 }}
          volumeMounts:
            - {name: data, mountPath: /data}
            - {name: tmp, mountPath: /tmp}
      volumes:
        {{- $size := dig "limits" "ephemeral-storage" "" .resources }}
        {{- range list "data" "tmp" }}
        - name: {{ . }}
          emptyDir:
            {{- if $size }}
            sizeLimit: {{ $size }}
            {{- else }} {}
            {{- end }}
        {{- end }}
{{- end -}}
{{- end }}

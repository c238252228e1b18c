{{/*
A quantity of Kubernetes in thousandths, as a number that can be compared: `500m` is 500, `1Ki` is
1024000. Call it with the quantity.
*/}}
{{- define "desafio.thousandths" -}}
{{- $text := ternary (printf "%.0f" (float64 .)) (toString .) (not (kindIs "string" .)) -}}
{{- $unit := regexFind "[A-Za-z]+$" $text -}}
{{- $factors := dict "m" 0.001 "" 1 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- printf "%.0f" (mulf (trimSuffix $unit $text | float64) (get $factors $unit) 1000) -}}
{{- end }}

{{/* Whether a quantity is above another: `true` or nothing. Call it with (list "2Gi" "512Mi"). */}}
{{- define "desafio.above" -}}
{{- if gt (include "desafio.thousandths" (index . 0) | float64) (include "desafio.thousandths" (index . 1) | float64) -}}
true
{{- end -}}
{{- end }}

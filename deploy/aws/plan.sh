#!/usr/bin/env bash
# Makes a Terraform plan, and applies exactly that plan after it was approved.
#
#   plan.sh make  FOLDER PLAN [option of `terraform plan` …]   plan, describe it, print its SHA-256
#   plan.sh apply FOLDER PLAN SHA256                           apply the plan if it still has that SHA-256
#
# FOLDER is an initialised root module. The approver sees PLAN.txt and the SHA-256; `apply` takes no other plan, and
# Terraform itself refuses a plan that the state has overtaken. A plan holds values of the state, secrets among them:
# keep it where the state is, never in a public artifact.
#
# Exit status: 0 done; 1 Terraform failed; 2 wrong use; 3 this is not the plan that was approved.
set -euo pipefail
umask 077

readonly LOCK_TIMEOUT=5m

usage() {
    sed -n '4,5s/^# *//p' "$0" >&2
    exit 2
}

sha256_of() {
    sha256sum -- "$1" | cut -d ' ' -f 1
}

# Print a line for the log, and hand it to the next step of a GitHub workflow.
output() {
    echo "$1"
    if [[ -n "${GITHUB_OUTPUT:-}" ]]; then echo "$1" >>"$GITHUB_OUTPUT"; fi
}

make_plan() {
    local folder=$1 plan=$2 status=0
    shift 2
    # 0: nothing to change, 2: changes; anything else is a failure.
    terraform -chdir="$folder" plan -input=false -lock-timeout="$LOCK_TIMEOUT" -detailed-exitcode -out="$plan" "$@" \
        || status=$?
    if ((status != 0 && status != 2)); then return 1; fi
    terraform -chdir="$folder" show -no-color "$plan" >"$plan.txt"
    output "sha256=$(sha256_of "$plan")"
    output "changes=$( ((status == 2)) && echo true || echo false)"
}

apply_plan() {
    local folder=$1 plan=$2 approved=$3 found
    if ! [[ "$approved" =~ ^[0-9a-f]{64}$ ]]; then
        echo "plan.sh: '$approved' is not a SHA-256" >&2
        return 2
    fi
    found=$(sha256_of "$plan")
    if [[ "$found" != "$approved" ]]; then
        echo "plan.sh: approved was the plan $approved, but $plan is $found. Nothing was applied" >&2
        return 3
    fi
    # In place of this shell, so that a signal reaches Terraform, which ends in order and releases its lock.
    exec terraform -chdir="$folder" apply -input=false -lock-timeout="$LOCK_TIMEOUT" "$plan"
}

(($# >= 3)) || usage
# Terraform changes to FOLDER before it opens PLAN.
[[ -d "$2" ]] || { echo "plan.sh: there is no folder $2" >&2; exit 2; }
plan=$(realpath -m -- "$3")
case "$1" in
    make) make_plan "$2" "$plan" "${@:4}" ;;
    apply)
        (($# == 4)) || usage
        [[ -f "$plan" ]] || { echo "plan.sh: there is no plan $plan" >&2; exit 2; }
        apply_plan "$2" "$plan" "$4"
        ;;
    *) usage ;;
esac

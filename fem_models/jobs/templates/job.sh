{% include "head.sh" %}

limit={{ limit }}    # seconds of one try
margin={{ margin }}    # of these are kept for the last checkpoint and what follows the last step
{% if points and scheduler == "slurm" %}
point=$SLURM_ARRAY_TASK_ID    # of the sweep: this task of the array
{% elif points and scheduler == "pbs" %}
point=${PBS_ARRAY_INDEX:-$FEM_MODELS_POINT}    # of the sweep: this task of the array
{% endif %}

# Starts its arguments on all ranks.
on_all_ranks() {
    {{ launcher }} "$@"{% if scheduler == "none" %} &
    ranks=$!
    # A signal ends `wait`, and not yet the ranks.
    wait "$ranks"
    code=$?
    while kill -0 "$ranks" 2>/dev/null; do
        wait "$ranks"
        code=$?
    done
    return "$code"
{%- endif %}

}

checkpoints() {
    find "$place" -name 'step_*.ckpt' 2>/dev/null | sort
}

out_of_time() {
    [ -n "$(find "$place" -name summary.json -exec grep -l '"stop_reason": "walltime"' {} + 2>/dev/null)" ]
}

# One try: from the latest checkpoint, or from the beginning where there is none. Its code is 0 where another
# one must follow, and `code` is that of the run.
try() {
    local seconds=$((limit - margin - {{ "0" if scheduler == "none" else "SECONDS" }})) before
    [ "$seconds" -gt 0 ] || seconds=1
    before=$(checkpoints)
{% if points %}
    on_all_ranks fem-models sweep "$input" --out "$run" --point "$point" --walltime "$seconds"
{% else %}
    if [ -n "$before" ]; then
        on_all_ranks fem-models resume "$place" --walltime "$seconds"
    else
        on_all_ranks fem-models run "$input" --out "$run" --overwrite --walltime "$seconds"
    fi
{% endif %}
    code=$?
    # It is done, has failed, or was interrupted.
    if [ "$code" -ne 0 ] || ! out_of_time; then
        return 1
    fi
    if [ "$(checkpoints)" = "$before" ]; then
        echo "No step ended within $seconds s, so the run does not go on: submit it with a longer --walltime." >&2
        code=3
        return 1
    fi
}

{% if scheduler == "none" %}
# The ranks finish their step and write a checkpoint.
trap 'kill -TERM "$ranks"' TERM INT
{% else %}
# The scheduler's signals are for the ranks: they finish their step and write a checkpoint while this waits.
trap : TERM INT USR1
{% endif %}
{% if not points or scheduler == "none" %}

# Compiled forms are kept in files: one process makes them before the ranks need them all at once.
if [ ! -e {{ compiled }} ]; then
    fem-models compile "$input" || exit
    touch {{ compiled }}
fi
{% endif %}
{% if scheduler == "none" and points %}

worst=0
for point in $(seq {{ points }}); do
    place=$(sed -n "${point}p" {{ places }})
    while try; do :; done
    [ "$code" -lt 128 ] || exit "$code"    # a signal ends all of them
    [ "$code" -eq 0 ] || worst=$code
done
exit "$worst"
{% elif scheduler == "none" %}

place=$run
while try; do :; done
exit "$code"
{% else %}

{% if points %}
place=$(sed -n "${point}p" {{ places }})    # the run directory of the point
{% else %}
place=$run
{% endif %}
if try; then
    {{ once_more }}
fi
exit "$code"
{% endif %}

#!/bin/bash
{% for directive in directives %}
{{ prefix }} {{ directive }}
{% endfor %}

# {{ title }}
# Written by `fem-models submit`, version {{ version }}. Submit it again with: {{ by_hand }}

cd {{ folder }} || exit 1
run={{ directory }}    # the run directory
input={{ input }}    # the run file, as it was when it was submitted

# What fem-models needs here.
{% for name in modules %}
module load {{ name }}
{% endfor %}
{% for line in activate %}
{{ line }}
{% endfor %}
{% for name, value in environment %}
export {{ name }}={{ value }}
{% endfor %}
export OMP_NUM_THREADS=1    # a rank works on one core
{% if cache %}
export XDG_CACHE_HOME={{ cache }}    # for compiled forms
export NUMBA_CACHE_DIR="$XDG_CACHE_HOME/numba"
mkdir -p "$XDG_CACHE_HOME" || exit 1
{% endif %}

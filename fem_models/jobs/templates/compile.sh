{% include "head.sh" %}

# Compiled forms are kept in files: one process makes them before the tasks of the array need them all at once.
exec fem-models compile "$input"

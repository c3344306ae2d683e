"""`python -m fem_models` is `fem-models`."""

import sys

from fem_models.cli import main

sys.exit(main())

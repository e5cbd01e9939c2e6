"""`python -m sslkit`."""

from sslkit.cli import main

raise SystemExit(main())

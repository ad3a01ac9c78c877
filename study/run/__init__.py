"""Training: jobs, where they run, and the run folder that keeps their results."""

import os

# Ray reads these when it is imported, so they stand here, above every module that imports it.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("RAY_enable_metrics_collection", "0")  # no dashboard would show them
os.environ.setdefault("RAY_prestart_worker_first_driver", "0")  # Tune's workers have their own
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # see study/run/jobs.py
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")  # the run folder has its own

"""``python -m wdam``: print which backend would run here, and why."""

from wdam.environment import env_report

if __name__ == "__main__":
    print(env_report())  # noqa: T201 (what the command is for)

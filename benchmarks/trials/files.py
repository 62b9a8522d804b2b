"""Files."""
from typing import Any
FORMATS: dict[str, Any] = {}
def run_trials(bench: Any, name: str, seed: int, count: int) -> Any: return []

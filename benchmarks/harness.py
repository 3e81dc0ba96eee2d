"""What the benchmarks share: interleaved timing, peak memory in a process of its own, and result files.

Numbers of one run on one machine compare; absolute times do not travel.
"""

import json
import multiprocessing
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers


def synchronize() -> None:
    """Wait for the GPU, where there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def medians(candidates: Mapping[str, Callable[[], Any]], repeats: int, warmup: int = 1) -> dict[str, float]:
    """Median seconds of each candidate; they take turns, so that whatever slows the machine slows all of them."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(warmup + repeats):
        # Back and forth: neither always runs in the wake of the other.
        for name, run in list(candidates.items())[:: 1 if turn % 2 else -1]:
            synchronize()
            begin = time.perf_counter()
            run()
            synchronize()
            if turn >= warmup:
                times[name].append(time.perf_counter() - begin)
    return {name: statistics.median(values) for name, values in times.items()}


def level_for(count: Callable[[float], int], wanted: int, low: float = -60.0, high: float = 60.0) -> float:
    """The lowest level, nearly, at which an untrained model predicts no more than `wanted`; it is also the last set.

    Args:
        count (`Callable[[float], int]`): Sets a threshold or bias and counts what is predicted: less, the higher.
        wanted (`int`): How much a trained model would predict.
        low (`float`, *optional*, defaults to -60): A level at which more is predicted.
        high (`float`, *optional*, defaults to 60): A level at which no more is.
    """
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (middle, high) if count(middle) > wanted else (low, middle)
    count(high)
    return high


def extra_peak_memory(prepare: Callable[..., Callable[[], Any]], *arguments: Any) -> int:
    """Bytes by which running `prepare(*arguments)()` raises the peak memory over what stood after preparing it.

    Run in a fresh process, since a peak never goes down; on a GPU, its allocator's own count is read.
    """
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_extra_peak, (prepare, *arguments))


def _extra_peak(prepare: Callable[..., Callable[[], Any]], *arguments: Any) -> int:
    run = prepare(*arguments)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return torch.cuda.max_memory_allocated() - before
    before = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak starts anew
    run()
    return _resident("VmHWM") - before


def _resident(field: str) -> int:
    """Resident memory of this process in bytes: VmRSS, now, or VmHWM, at its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def machine() -> dict[str, Any]:
    """Where the numbers come from."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    model = next((line for line in _cpu_lines() if line.startswith("model name")), platform.processor())
    return {
        "device": gpu or f"{model.partition(': ')[2] or model}, {torch.get_num_threads()} threads{_instructions()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def _instructions() -> str:
    """Those of the processor that decide how fast small numbers are multiplied."""
    flags = next((line for line in _cpu_lines() if line.startswith("flags")), "").split()
    known = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")
    return "".join(f" {flag}" for flag in known if flag in flags)


def _cpu_lines() -> list[str]:
    info = Path("/proc/cpuinfo")
    return info.read_text().splitlines() if info.exists() else []


def report(script: str, title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the rows as a table, and write them as Markdown and JSON beside the script."""
    where = machine()
    columns = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[_shown(row.get(name, "")) for name in columns] for row in rows]
    lines = [f"# {title}", "", f"Machine: {', '.join(f'{k} {v}' for k, v in where.items())}.", ""]
    lines += [f"| {' | '.join(line)} |" for line in [columns, ["---"] * len(columns), *cells]]
    text = "\n".join(lines) + "\n"
    print(text)
    result = Path(script).with_suffix("")
    result.with_suffix(".md").write_text(text, encoding="utf-8")
    content = {"title": title, "machine": where, "rows": list(rows)}
    result.with_suffix(".json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _shown(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"

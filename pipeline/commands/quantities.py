"""A number and its unit in the size that people read."""


def shown_quantity(value: float, unit: str) -> tuple[str, str]:
    """Number and unit in the size that people read."""
    match unit:
        case "bytes" | "bytes/s" | "FLOP" | "FLOP/s":
            return _scaled(value, unit.replace("bytes", "B"))
        case "hours" if value < 1 / 60:
            return f"{3600 * value:.3g}", "seconds"
        case "hours" if value < 1:
            return f"{60 * value:.3g}", "minutes"
        case "share":
            return f"{100 * value:.3g}", "%"
    return shown_number(value), unit


def shown_number(value: float) -> str:
    """Four digits, or all before the point with commas."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def _scaled(value: float, unit: str) -> tuple[str, str]:
    from matplotlib.ticker import EngFormatter

    number, _, scaled_unit = EngFormatter(unit, places=2)(value).partition(" ")
    return number, scaled_unit

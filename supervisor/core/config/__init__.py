"""config.toml to a Plan: validation, positions, differences.

Only short-lived processes import it; pydantic is allowed here. The parent may import problems, diff, redact and keys,
which do without.
"""

"""config.toml to a Plan: validation, positions, differences. Imported by short-lived processes only; pydantic is allowed here."""

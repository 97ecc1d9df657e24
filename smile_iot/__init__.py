"""The command ``smile-iot`` and the wiring of one machine. Nobody imports it; it loads each part lazily."""

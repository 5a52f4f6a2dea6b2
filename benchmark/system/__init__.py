"""Files, structure files, environment variables, devices and checks of arguments."""

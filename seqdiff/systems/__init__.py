"""Published systems as recipes over the core: one small file each, looked up in `registry.SYSTEMS`."""

"""Where bytes come from: BLE adverts, serial lines, Modbus. All I/O of the agent's left side is here."""

"""Questions and commands from people: a JSON API and small server-rendered pages.

It asks ``gateway.records`` and the store's reader and holds no data of its own; what a person may do is in
``api.roles`` (decree HK.01.07/MENKES/1568/2024, Table 1: facts/smile-and-waste.md 1.1 and requirement 16).
"""

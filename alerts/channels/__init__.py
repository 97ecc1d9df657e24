"""The table of people's channels that Apprise does not speak: one channel a file, one line here.

A person's contact is a URL; its scheme chooses the channel. What stands not in the table goes through Apprise, which
speaks e-mail, Telegram, WhatsApp and about a hundred others without a line of ours.
"""

from __future__ import annotations

from alerts.notify import Message, Send, apprise_send

CHANNELS: dict[str, Send] = {}


def send(url: str, message: Message) -> bool:
    """Send by the channel that the URL's scheme names; False means: not sent, try again."""
    return CHANNELS.get(url.partition("://")[0].lower(), apprise_send)(url, message)

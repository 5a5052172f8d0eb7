"""What becomes of the agent's replies for programs that want a text: Zabbix, C, spreadsheets.

Each is an entry point of the group ``vpoller_like.helpers``, under its own name and under the
one that it has in vPoller. On an error the text is the reply's ``msg``.
"""

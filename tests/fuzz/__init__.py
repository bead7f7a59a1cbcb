"""Whatever bytes come: a row, a reject or one line, in bounded time and memory."""

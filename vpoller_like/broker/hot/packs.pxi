def reply_messages(replies):
    return c_reply_messages(replies)


cdef list c_reply_messages(replies):
    cdef list messages = []
    cdef dict batches = {}
    cdef Reply reply
    cdef tuple envelope
    for reply in replies:
        envelope = reply.envelope
        if reply.index is not None:
            batches.setdefault(envelope, []).append((reply.index, reply.body))
        elif len(envelope) == 3:
            messages.append((envelope[0], envelope[1], envelope[2], reply.body))
        else:
            messages.append((*envelope, reply.body))
    for envelope, items in batches.items():
        pack = json_pack(items)
        if pack is not None:
            messages.append((*envelope, pack))
        else:
            from vpoller_like.broker.packs import batch_messages

            messages.extend(batch_messages({envelope: items}))
    return messages


cdef bytes json_pack(list items):
    """Return ``items`` as a pack, in JSON and not cut; None for what is not that simple."""
    cdef list parts = []
    cdef Py_ssize_t size = 0
    cdef Py_ssize_t index
    cdef bytes body = (<tuple>items[0])[1]
    if not len(body) or (<const unsigned char *>body)[0] != b"{":
        return None
    for item in items:
        index, body = <tuple>item
        size += len(body)
        if size >= MAX_PACK or index >= len(_JSON_HEADS):
            return None
        parts.append((<list>_JSON_HEADS)[index])
        parts.append(body)
    parts[0] = b"[" + (<bytes>parts[0])[2:]
    parts.append(b"]]")
    return b"".join(parts)


@cython.final
cdef class Packs:
    cdef public dict open

    def __init__(self):
        self.open = {}

    cpdef int add(self, Give give) except -1:
        cdef tuple key = (give.peer, give.session)
        items = self.open.get(key)
        self.open[key] = give.items if items is None else <list?>items + give.items
        return 0

    def withdraw(self, peer):
        from vpoller_like.broker.packs import attempts

        sessions = [key for key in self.open if key[0] == peer]
        return [attempt for key in sessions for attempt in attempts(self.open.pop(key))]

    cpdef list take(self):
        cdef list taken = []
        cdef list items
        packs, self.open = self.open, {}
        for (peer, session), items in (<dict>packs).items():
            if len(items) == 1:
                taken.append((peer, _Tasks(session, items)))
                continue
            for part in cut(items):
                taken.append((peer, _Tasks(session, part)))
        return taken


cdef list cut(list items):
    """Cut ``items`` so that a part closes when its bodies reach ``MAX_PACK`` bytes."""
    cdef Py_ssize_t filled = 0
    cdef list part = []
    cdef list parts = [part]
    for item in items:
        if filled >= MAX_PACK:
            part = []
            parts.append(part)
            filled = 0
        part.append(item)
        filled += len(item.body)
    return parts

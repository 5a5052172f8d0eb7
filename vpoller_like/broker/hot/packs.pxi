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
        cdef Pack known = self.open.get(key)
        self.open[key] = give.pack if known is None else known.joined(give.pack)
        return 0

    def withdraw(self, peer):
        from vpoller_like.broker.packs import attempts

        sessions = [key for key in self.open if key[0] == peer]
        packs = [<Pack>self.open.pop(key) for key in sessions]
        return [attempt for pack in packs for attempt in attempts((<Pack>pack).items())]

    def take(self):
        return [(peer, _read_tasks(frame)) for peer, frame in self.c_take()]

    cdef list c_take(self):
        """Return the frames of the packs with their workers' routing ids, and begin anew."""
        cdef list taken = []
        cdef Pack pack
        packs, self.open = self.open, {}
        for (peer, session), pack in (<dict>packs).items():
            for frame in pack.frames(session):
                taken.append((peer, frame))
        return taken

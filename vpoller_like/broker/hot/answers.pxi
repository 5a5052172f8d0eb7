# Reads RESULTS as nearly all are: arrays of the very length, numbers that are not negative, codes in
# ASCII. All others are left to msgspec, and so is whatever is wrong.


@cython.final
@cython.no_gc
@cython.freelist(1024)
cdef class Answer:
    """One result of a worker: what :class:`~vpoller_like.protocol.worker.Result` says."""

    cdef readonly long long task, attempt, ran_us
    cdef readonly str code
    cdef readonly bytes body


@cython.final
cdef class Answers:
    """Those of one message."""

    cdef long long seq, slots, ahead
    cdef list items


cdef struct Frame:
    const unsigned char *at
    const unsigned char *end


cdef enum:
    # What numbers in a message may be at most, and bytes of a code.
    MAX_COUNT = 1 << 20
    MAX_CODE = 32


cdef Answers read_answers(bytes frame):
    """Return what is in the ``frame`` of RESULTS; None where it is not that plain."""
    cdef Frame read
    cdef Answers answers = Answers.__new__(Answers)
    cdef Answer answer
    cdef long long count
    read.at = frame
    read.end = read.at + len(frame)
    if array_size(&read) != 4:
        return None
    answers.seq, answers.slots, answers.ahead = number(&read), number(&read), number(&read)
    count = array_size(&read)
    if answers.seq < 0 or not is_count(answers.slots) or not is_count(answers.ahead) or count < 0:
        return None
    answers.items = []
    while count:
        answer = read_answer(&read)
        if answer is None:
            return None
        answers.items.append(answer)
        count -= 1
    return answers if read.at == read.end else None


cdef Answer read_answer(Frame *read):
    cdef Answer answer
    cdef Text code
    cdef long long task, attempt, ran_us
    cdef Py_ssize_t size
    if array_size(read) != 5:
        return None
    task, attempt = number(read), number(read)
    if task < 0 or not is_count(attempt) or not short_text(read, &code):
        return None
    ran_us = number(read)
    size = binary_size(read)
    if ran_us < 0 or size < 0:
        return None
    answer = Answer.__new__(Answer)
    answer.task, answer.attempt, answer.ran_us = task, attempt, ran_us
    answer.code = kept_text(&code) if code.size else ""
    answer.body = PyBytes_FromStringAndSize(<const char *>read.at, size)
    read.at += size
    return answer


cdef Answers answers_of(results):
    """Return the same of what msgspec has read."""
    cdef Answers answers = Answers.__new__(Answers)
    answers.seq, answers.slots, answers.ahead = results.seq, results.slots, results.ahead
    answers.items = [answer_of(item) for item in results.items]
    return answers


cdef Answer answer_of(result):
    """Return the same of what msgspec has read."""
    cdef Answer answer
    if type(result) is Answer:
        return <Answer>result
    answer = Answer.__new__(Answer)
    answer.task, answer.attempt, answer.ran_us = result.task, result.attempt, result.ran_us
    answer.code, answer.body = result.code, result.body
    return answer


cdef inline bint is_count(long long number) noexcept nogil:
    return 0 <= number <= MAX_COUNT


cdef long long big_endian(Frame *read, int width) noexcept nogil:
    """Read a number of so many bytes behind its first one; -1 where none is, or too large a one."""
    cdef unsigned long long value = 0
    cdef int index
    if read.end - read.at < 1 + width:
        return -1
    for index in range(1, 1 + width):
        value = value << 8 | read.at[index]
    if value > 0x7FFFFFFFFFFFFFFFULL:
        return -1
    read.at += 1 + width
    return <long long>value


cdef long long number(Frame *read) noexcept nogil:
    """Read a number that is not negative; -1 where there is none."""
    cdef unsigned char first
    if read.at == read.end:
        return -1
    first = read.at[0]
    if first < 0x80:
        read.at += 1
        return first
    if 0xCC <= first <= 0xCF:
        return big_endian(read, 1 << (first - 0xCC))
    return -1


cdef long long array_size(Frame *read) noexcept nogil:
    """Read an array's head; -1 where there is none."""
    cdef unsigned char first
    if read.at == read.end:
        return -1
    first = read.at[0]
    if first & 0xF0 == 0x90:
        read.at += 1
        return first & 0x0F
    if first == 0xDC or first == 0xDD:
        return big_endian(read, 2 if first == 0xDC else 4)
    return -1


cdef Py_ssize_t binary_size(Frame *read) noexcept nogil:
    """Read the head of bytes that are there; -1 where there are none."""
    cdef long long size = -1
    if read.at < read.end and 0xC4 <= read.at[0] <= 0xC6:
        size = big_endian(read, 1 << (read.at[0] - 0xC4))
    return <Py_ssize_t>size if 0 <= size <= read.end - read.at else -1


cdef bint short_text(Frame *read, Text *text) noexcept nogil:
    """Read a short text in plain ASCII."""
    cdef Py_ssize_t index
    cdef long long size = -1
    if read.at < read.end and read.at[0] & 0xE0 == 0xA0:
        size = read.at[0] & 0x1F
        read.at += 1
    elif read.at < read.end and read.at[0] == 0xD9:
        size = big_endian(read, 1)
    if size < 0 or size > MAX_CODE or size > read.end - read.at:
        return False
    text.start, text.size = read.at, <Py_ssize_t>size
    for index in range(text.size):
        if not PLAIN[text.start[index]]:
            return False
    read.at += text.size
    return True

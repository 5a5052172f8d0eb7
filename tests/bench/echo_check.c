#define _GNU_SOURCE
#include "echo_check.h"

#include <stdlib.h>
#include <string.h>

static void hex(char *place, uint64_t number, int digits)
{
    static const char letters[] = "0123456789abcdef";
    while (digits-- > 0) {
        place[digits] = letters[number & 15];
        number >>= 4;
    }
}

static int64_t unhex(const char *text)
{
    uint64_t number = 0;
    int at;

    for (at = 0; at < DIGITS; at++) {
        char c = text[at];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0)
            return -1;
        number = number << 4 | (uint64_t)digit;
    }
    return (int64_t)(number & INT64_MAX);
}

void request_make(request_t *request, const char *template, size_t payload)
{
    char *out = malloc(strlen(template) + payload + DIGITS + 1);

    if (out == NULL)
        abort();
    *request = (request_t){.text = out, .filling = payload - DIGITS, .id = -1};
    for (; *template != '\0'; template++) {
        if (template[0] == '@' && template[1] == 'P') {
            request->payload = (size_t)(out - request->text);
            memset(out, 'x', payload);
            out += payload;
            template++;
        } else if (template[0] == '@' && template[1] == 'I') {
            request->id = out - request->text;
            memset(out, '0', DIGITS);
            out += DIGITS;
            template++;
        } else {
            *out++ = *template;
        }
    }
    request->length = (size_t)(out - request->text);
}

void request_number(request_t *request, uint64_t number, uint32_t nonce)
{
    hex(request->text + request->payload, number, DIGITS);
    if (request->id >= 0) {
        hex(request->text + request->id, nonce, DIGITS / 2);
        hex(request->text + request->id + DIGITS / 2, number, DIGITS / 2);
    }
}

/* Return what follows `"KEY":` and white space, or NULL. */
static const char *value_of(const char *text, size_t length, const char *key)
{
    const char *end = text + length;
    const char *at = memmem(text, length, key, strlen(key));

    if (at == NULL)
        return NULL;
    for (at += strlen(key); at < end && (*at == ':' || *at == ' '); at++)
        ;
    return at < end ? at : NULL;
}

int64_t reply_number(const request_t *request, const char *reply, size_t length)
{
    const char *success = value_of(reply, length, "\"success\"");
    const char *result = value_of(reply, length, "\"result\"");
    const char *end = reply + length;
    const char *filling = request->text + request->payload + DIGITS;

    if (success == NULL || result == NULL || *success != '0' || *result++ != '"')
        return -1;
    if ((size_t)(end - result) < DIGITS + request->filling + 1)
        return -1;
    if (memcmp(result + DIGITS, filling, request->filling) != 0)
        return -1;
    if (result[DIGITS + request->filling] != '"')
        return -1;
    return unhex(result);
}

static const char *skip_string(const char *text, const char *end)
{
    while (++text < end) {
        if (*text == '\\')
            text++;
        else if (*text == '"')
            return text + 1;
    }
    return NULL;
}

const char *json_skip(const char *text, const char *end)
{
    int depth = 0;

    while (text != NULL && text < end) {
        switch (*text) {
        case '"':
            text = skip_string(text, end);
            break;
        case '{':
        case '[':
            depth++;
            text++;
            continue;
        case '}':
        case ']':
            if (depth == 0)
                return text;
            depth--;
            text++;
            break;
        case ',':
        case ':':
            if (depth == 0)
                return text;
            text++;
            continue;
        default:
            text++;
            continue;
        }
        if (depth == 0)
            return text;
    }
    return text == end && depth == 0 ? text : NULL;
}

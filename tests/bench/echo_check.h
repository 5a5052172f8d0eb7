/* Requests of the loads, and whether a reply is the right one.
 *
 * Every request carries a number of its own in its payload: 16 hexadecimal digits and then
 * filling. A reply counts only if it says success and its result is that payload.
 */
#ifndef ECHO_CHECK_H
#define ECHO_CHECK_H

#include <stddef.h>
#include <stdint.h>

/* Digits of a request's number. */
#define DIGITS 16

typedef struct {
    char *text;         /* the request, with room for the digits */
    size_t length;      /* bytes of the request */
    size_t payload;     /* where the payload begins */
    size_t filling;     /* bytes of the payload after the digits */
    long id;            /* where the id's digits begin, or -1 */
} request_t;

/* Read TEMPLATE, where @P stands for a payload of PAYLOAD bytes and @I for an id. */
void request_make(request_t *request, const char *template, size_t payload);

/* Put NUMBER into the request's payload, and into its id together with NONCE. */
void request_number(request_t *request, uint64_t number, uint32_t nonce);

/* Return the number that a reply of LENGTH bytes carries, or -1 if it is no right answer. */
int64_t reply_number(const request_t *request, const char *reply, size_t length);

/* Return the end of the JSON value at TEXT, or NULL if it does not end before END. */
const char *json_skip(const char *text, const char *end);

#endif

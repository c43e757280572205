/* SPDX-License-Identifier: ISC */
/* In the relay's process. */
#include "relay/store_reply.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#if HIREDIS_MAJOR < 1
typedef int elements;
#else
typedef size_t elements;
#endif

/* What is inside of another is in `parent`. */
static bool is_whole(const redisReadTask *task)
{
	return task->parent == NULL;
}

static struct reply *begin(const redisReadTask *task, int type)
{
	struct reply *reply = task->privdata;

	*reply = (struct reply){ .type = type };
	return reply;
}

/* ---- What hiredis calls; NULL: it goes no further ---- */

static void *take_text(const redisReadTask *task, char *bytes, size_t length)
{
	struct reply *reply = task->privdata;
	int at = 0;

	if (!is_whole(task) && task->type == REDIS_REPLY_STRING)
		at = task->idx;
	else if (is_whole(task) &&
		 (task->type == REDIS_REPLY_STATUS || task->type == REDIS_REPLY_ERROR))
		(void)begin(task, task->type);
	else
		return NULL;
	if (length >= REPLY_TEXT_MAX)
		length = REPLY_TEXT_MAX - 1;
	memcpy(reply->text[at], bytes, length);
	reply->text[at][length] = '\0';
	return reply;
}

static void *take_array(const redisReadTask *task, elements count)
{
	struct reply *reply;

	if (!is_whole(task) || task->type != REDIS_REPLY_ARRAY || count > REPLY_ITEMS_MAX)
		return NULL;
	reply = begin(task, REDIS_REPLY_ARRAY);
	reply->count = (unsigned)count;
	return reply;
}

static void *take_integer(const redisReadTask *task, long long integer)
{
	struct reply *reply;

	if (!is_whole(task))
		return NULL;
	reply = begin(task, REDIS_REPLY_INTEGER);
	reply->integer = integer;
	return reply;
}

static void *take_nil(const redisReadTask *task)
{
	return is_whole(task) ? begin(task, REDIS_REPLY_NIL) : NULL;
}

void reply_read_into(redisReader *reader, struct reply *reply)
{
	/* What it does not call is none of ours, and comes as another pointer. */
	static redisReplyObjectFunctions functions = { .createString = take_text,
		.createArray = take_array,
		.createInteger = take_integer,
		.createNil = take_nil };

	reader->fn = &functions;
	reader->privdata = reply;
}

/* SPDX-License-Identifier: ISC */
/* In the relay: which names are known or wanted, and who waits for each. */
#include <string.h>

#include "lib/siphash.h"
#include "relay/names_parts.h"

/* ---- Lists ---- */

static void list_add(struct names *names, struct name *name, enum name_state state)
{
	struct list *list = &names->list[state];

	name->state = state;
	name->next = NULL;
	name->before = list->last;
	if (list->last != NULL)
		list->last->next = name;
	else
		list->first = name;
	list->last = name;
	list->count++;
}

static void list_remove(struct names *names, struct name *name)
{
	struct list *list = &names->list[name->state];

	if (name == names->unsent)
		names->unsent = name->next;
	if (name->before != NULL)
		name->before->next = name->next;
	else
		list->first = name->next;
	if (name->next != NULL)
		name->next->before = name->before;
	else
		list->last = name->before;
	list->count--;
}

void name_move(struct names *names, struct name *name, enum name_state state)
{
	list_remove(names, name);
	list_add(names, name, state);
}

/* ---- The table ---- */

static struct name **bucket_of(struct names *names, const char *text)
{
	return &names->bucket[siphash(names->key, (const uint8_t *)text, strlen(text)) &
			      (BUCKETS - 1)];
}

struct name *name_find(struct names *names, const char *text)
{
	struct name *name = *bucket_of(names, text);

	while (name != NULL && strcmp(name->text, text) != 0)
		name = name->same_bucket;
	return name;
}

void name_forget(struct names *names, struct name *name)
{
	struct name **link = bucket_of(names, name->text);

	while (*link != name)
		link = &(*link)->same_bucket;
	*link = name->same_bucket;
	name_move(names, name, FREE);
}

struct name *name_new(struct names *names, const char *text)
{
	struct name **link = bucket_of(names, text), *name;

	if (names->list[FREE].count == 0 && names->names_used < NAMES_MAX)
		list_add(names, &names->name[names->names_used++], FREE);
	else if (names->list[FREE].count == 0 && names->list[KNOWN].count > 0)
		name_forget(names, names->list[KNOWN].first);
	name = names->list[FREE].first;
	if (name == NULL)
		return NULL;
	(void)memcpy(name->text, text, strlen(text) + 1);
	name->same_bucket = *link;
	*link = name;
	return name;
}

/* ---- Who waits ---- */

void askers_add(struct askers *askers, struct asker *asker)
{
	asker->next = NULL;
	if (askers->first != NULL)
		askers->last->next = asker;
	else
		askers->first = asker;
	askers->last = asker;
}

struct asker *asker_new(struct names *names, names_answer *answer, void *context)
{
	struct asker *asker = names->free_asker;

	if (asker != NULL)
		names->free_asker = asker->next;
	else if (names->askers_used < NAME_ASKERS_MAX)
		asker = &names->asker[names->askers_used++];
	else
		return NULL;
	*asker = (struct asker){ .answer = answer, .context = context };
	return asker;
}

void askers_tell(struct names *names, struct askers *askers, const struct name_answer *answer)
{
	struct asker *asker = askers->first, *next;

	*askers = (struct askers){ .first = NULL };
	for (; asker != NULL; asker = next) {
		struct name_answer wrong = { .lives = LIVES_LEAST, .wrong = asker->wrong };
		struct asker told = *asker;

		next = asker->next;
		asker->next = names->free_asker;
		names->free_asker = asker;
		told.answer(told.context, answer != NULL ? answer : &wrong);
	}
}

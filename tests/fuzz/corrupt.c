/* SPDX-License-Identifier: ISC */
/*
 * corrupt COUNT SEED
 *
 * Corruptions of the state (G6) in the world of world.h: first each word of the header and each of
 * its bits, in each situation, and each other word once; then by chance until there were COUNT.
 *
 * Prints what it counted, as KEY=NUMBER. If something does not hold it says what, and the input.
 */
#include "../random.h"
#include "world.h"

/* ---- Chance ---- */

static uint64_t chance_seed;

static uint64_t chance(void)
{
	return random_next(&chance_seed);
}

static uint32_t below(uint32_t bound)
{
	return random_below(&chance_seed, bound);
}

/* ---- Worlds ---- */

#define INPUT_MAX 160

static struct {
	uint8_t bytes[INPUT_MAX];
	size_t length;
	uint64_t worlds;
} memory;

static void add(uint8_t byte)
{
	must(memory.length < sizeof(memory.bytes));
	memory.bytes[memory.length++] = byte;
}

/* Operations of world.h: their numbers are in operate(). */
static void add_connection(bool has_line, uint8_t source, uint8_t death)
{
	add(has_line ? 0 : 3);
	add(source);
	add(death);
	if (death >= DEATHS)
		add(3); /* how long its run lasts */
}

static void add_change(uint32_t word, uint8_t mode, uint8_t near, uint32_t any)
{
	add(9);
	for (unsigned i = 0; i < 4; i++)
		add((uint8_t)(word >> 8 * i));
	add(mode);
	add(near);
	for (unsigned i = 0; i < 4 && mode % CHANGE_PAST % CHANGES == CHANGE_ANY; i++)
		add((uint8_t)(any >> 8 * i));
}

/* On an abort: what led to it, for the fuzz target `state` to run again. */
static void on_abort(int number)
{
	static const char digits[] = "0123456789abcdef";
	char text[2 * INPUT_MAX + 1];

	(void)number;
	for (size_t i = 0; i < memory.length; i++) {
		text[2 * i] = digits[memory.bytes[i] >> 4];
		text[2 * i + 1] = digits[memory.bytes[i] & 15];
	}
	text[2 * memory.length] = '\n';
	if (write(STDERR_FILENO, "input: ", 7) < 0 ||
		write(STDERR_FILENO, text, 2 * memory.length + 1) < 0)
		_exit(2);
	_exit(1);
}

static void memory_run(void)
{
	world_run(memory.bytes, memory.length);
	memory.worlds++;
	memory.length = 0;
}

enum situation {
	SITUATION_FRESH,
	SITUATION_AFTER_RUN,
	SITUATION_BUSY,    /* another process waits, then runs */
	SITUATION_OWED,    /* one was killed between its start and its execution */
	SITUATION_LIMITED, /* the source has used up its burst */
	SITUATION_LATER,   /* it changes while somebody sleeps */
	SITUATIONS
};

static void add_situation(enum situation situation)
{
	switch (situation) {
	case SITUATION_AFTER_RUN: add_connection(true, 0, DEATHS); break;
	case SITUATION_BUSY:
		add(6);
		add(64 | 128 | 5);
		break;
	case SITUATION_OWED: add_connection(true, 0, DEATH_BEGUN); break;
	case SITUATION_LIMITED:
		for (unsigned i = 0; i < 7; i++)
			add_connection(true, 0, DEATHS);
		break;
	default: break;
	}
}

/* A word is changed in a situation; then come a line, rubbish, another source's line. */
static void memory_one(
	enum situation situation, uint8_t choice, uint32_t word, uint8_t mode, uint8_t near)
{
	add(choice);
	add((uint8_t)(word + near)); /* how long before the clock's words go round */
	add(0);
	add(8);
	add(near & 3); /* whether there is a process that `action` may name, and for how long */
	add_situation(situation);
	if (situation == SITUATION_LATER && word < 8) {
		add_connection(true, 0, DEATHS);
		add(7);
		add(near);
		add((uint8_t)word);
		add(mode);
	} else {
		add_change(word, mode, near, (uint32_t)chance());
	}
	add_connection(true, 0, DEATHS);
	add_connection(false, 1, DEATHS);
	add_connection(true, 2, DEATHS);
	memory_run();
}

/* Intervals and limits of world.h: none, short ones, usual ones, the longest. */
static const uint8_t choices[] = { 0, 1 + 8 * 1, 3 + 8 * 2, 5 + 8 * 3, 6 + 8 * 4, 7 + 8 * 6, 2 + 8 * 7 };

static void memory_sweep(void)
{
	for (unsigned word = 0; word < HEADER_WORDS; word++)
		for (unsigned situation = 0; situation < SITUATIONS; situation++)
			for (unsigned i = 0; i < COUNT(choices); i++)
				for (unsigned bit = 0; bit < 32; bit++)
					memory_one(situation, choices[i], word, CHANGE_BIT, (uint8_t)bit);
	for (unsigned word = 0; word < 8; word++)
		for (unsigned mode = 0; mode < CHANGES; mode++)
			for (unsigned i = 0; i < SITUATIONS * COUNT(choices) * 16; i++)
				memory_one(i % SITUATIONS, choices[i / SITUATIONS % COUNT(choices)], word,
					(uint8_t)(mode | (chance() & CHANGE_PAST)), (uint8_t)chance());
	for (unsigned word = HEADER_WORDS; word < WORDS; word++)
		memory_one(SITUATION_AFTER_RUN, choices[word % COUNT(choices)], word,
			(uint8_t)(word % CHANGES), (uint8_t)word);
}

static void memory_by_chance(void)
{
	memory.length = 8 + below(INPUT_MAX - 8);
	for (size_t i = 0; i < memory.length; i++)
		memory.bytes[i] = (uint8_t)chance();
	memory_run();
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	chance_seed = strtoull(argv[2], NULL, 10) | 1;
	(void)signal(SIGABRT, on_abort);
	memory_sweep();
	while (world.changes < strtoull(argv[1], NULL, 10))
		memory_by_chance();
	(void)printf("corruptions=%llu\nworlds=%llu\nstarts=%llu\n",
		(unsigned long long)world.changes, (unsigned long long)memory.worlds,
		(unsigned long long)world.starts);
	return 0;
}

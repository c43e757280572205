/* SPDX-License-Identifier: ISC */
#include "lib/words.h"

#include <stddef.h>
#include <string.h>

/* A word that is being taken, in place: what is written is never longer than what was read. */
struct lexer {
	char *from, *to;
	char quote;     /* the quote that is open, or 0 */
	char *opened;   /* what is behind it, until now */
	bool is_quoted; /* some of it was */
};

/* Takes one character, undoing quotes as sh(1) does. False at a backslash with nothing behind it.
 */
static bool character_take(struct lexer *lexer)
{
	char c = *lexer->from++;

	if (lexer->quote != 0 && c == lexer->quote) {
		lexer->quote = 0;
		return true;
	}
	if (lexer->quote == 0 && (c == '\'' || c == '"')) {
		lexer->is_quoted = true;
		lexer->quote = c;
		lexer->opened = lexer->to;
		return true;
	}
	if (c == '\\' && lexer->quote != '\'') {
		/* Within "", a backslash is one unless a character that it can protect follows. */
		if (lexer->quote == '"' && strchr("\"\\$`", *lexer->from) == NULL) {
			*lexer->to++ = c;
			return true;
		}
		if (*lexer->from == '\0')
			return false;
		lexer->is_quoted = true;
		c = *lexer->from++;
	}
	*lexer->to++ = c;
	return true;
}

/* Takes the word at lexer->from, in place, and ends it with a NUL. */
static enum words_error word_take(struct lexer *lexer)
{
	bool is_cut = false;

	while (!is_cut && *lexer->from != '\0' &&
		(lexer->quote != 0 || (*lexer->from != ' ' && *lexer->from != '\t')))
		is_cut = !character_take(lexer);
	if (*lexer->from != '\0')
		lexer->from++;
	*lexer->to = '\0';
	if (is_cut)
		return WORDS_BACKSLASH;
	return lexer->quote != 0 ? WORDS_OPEN_QUOTE : WORDS_FINE;
}

struct words_fault words_split(char *text, struct words *words)
{
	words->count = 0;
	for (;;) {
		struct lexer lexer = { .quote = 0 };
		enum words_error error;

		text += strspn(text, " \t");
		if (*text == '\0' || *text == '#')
			return (struct words_fault){ .error = WORDS_FINE };
		if (words->count == WORDS_MAX)
			return (struct words_fault){ .error = WORDS_TOO_MANY, .at = text };
		lexer.from = lexer.to = text;
		error = word_take(&lexer);
		if (error != WORDS_FINE)
			return (struct words_fault){ .error = error,
				.at = error == WORDS_OPEN_QUOTE ? lexer.opened : text,
				.quote = lexer.quote };
		words->quoted[words->count] = lexer.is_quoted;
		words->word[words->count++] = text;
		text = lexer.from;
	}
}

const char *word_oddity(const char *word)
{
	static const struct {
		char bytes[4];
		const char *name;
	} table[] = {
		{ "\xef\xbb\xbf", "a byte order mark: save the file without" },
		{ "\xc2\xa0", "a no-break space, where a space is meant" },
		{ "\xe2\x80\xaf", "a no-break space, where a space is meant" },
		{ "\xe3\x80\x80", "an ideographic space, where a space is meant" },
		{ "\xe2\x80\x89", "a thin space, where a space is meant" },
		{ "\xe2\x80\x8b", "a zero-width space: remove it" },
		{ "\xe2\x80\x8e", "a left-to-right mark: remove it" },
		{ "\xe2\x80\x8f", "a right-to-left mark: remove it" },
		{ "\xc2\xad", "a soft hyphen: remove it" },
		{ "\xe2\x80\x98", "a typographic quote: write ' or \"" },
		{ "\xe2\x80\x99", "a typographic quote: write ' or \"" },
		{ "\xe2\x80\x9a", "a typographic quote: write ' or \"" },
		{ "\xe2\x80\x9c", "a typographic quote: write ' or \"" },
		{ "\xe2\x80\x9d", "a typographic quote: write ' or \"" },
		{ "\xe2\x80\x9e", "a typographic quote: write ' or \"" },
		{ "\xc2\xab", "a typographic quote: write ' or \"" },
		{ "\xc2\xbb", "a typographic quote: write ' or \"" },
		{ "\xe2\x80\x90", "a typographic dash: write -" },
		{ "\xe2\x80\x91", "a typographic dash: write -" },
		{ "\xe2\x80\x92", "a typographic dash: write -" },
		{ "\xe2\x80\x93", "a typographic dash: write - or --" },
		{ "\xe2\x80\x94", "a typographic dash: write - or --" },
		{ "\xe2\x88\x92", "a minus sign that is not ASCII: write -" },
		{ "\xe2\x80\xa6", "an ellipsis: write ..." },
	};
	const char *first = NULL, *name = NULL;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const char *at = strstr(word, table[i].bytes);

		if (at != NULL && (first == NULL || at < first)) {
			first = at;
			name = table[i].name;
		}
	}
	/* In Latin-1 it is a byte of its own, which UTF-8 has only behind another one. */
	for (const char *at = word; name == NULL && *at != '\0'; at++)
		if (*at == '\xa0' && (at == word || (at[-1] & 0x80) == 0))
			name = "a no-break space, where a space is meant";
	return name;
}

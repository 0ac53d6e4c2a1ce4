/*
 * Writing man pages: the few requests of man(7) that ours use. Text is escaped here and nowhere
 * else.
 */
#ifndef CWS_GEN_ROFF_H
#define CWS_GEN_ROFF_H

/** roff_title() - the head of a page; the first call. No date: the same source makes the same
 * page. */
void roff_title(const char *name, int section, const char *manual);
void roff_section(const char *title);
/** roff_subsection() - its title in bold, as .SS has it. */
void roff_subsection(const char *title);
/** roff_paragraphs() - separated by a newline; lines that begin with a blank are examples. */
void roff_paragraphs(const char *text);
/** roff_item() - @label stays as it is written, in bold; @text explains it. */
void roff_item(const char *label, const char *text);

/* The pages. */
void page_cwsandbox(void);
void page_cwsandboxd(void);

#endif

/*
 * cwsandbox completion SHELL: the script that teaches a shell to complete our words. Installed
 * as files too, made by this verb at build time. The scripts only carry words to `__complete`
 * and back (complete.h), so they never change with an option.
 */
#include <string.h>

#include "cli/cli.h"
#include "cli/verbs.h"

static const char bash_script[] =
    "# bash completion of cwsandbox, written by `cwsandbox completion bash`\n"
    "_cwsandbox() {\n"
    "    local -a words=() lines=()\n"
    "    local rest=${COMP_LINE:0:COMP_POINT} lead='' breaks=${COMP_WORDBREAKS//[^=:]} piece "
    "i\n"
    "    COMPREPLY=()\n"
    "    # bash cuts words at = and : too; what no blank separates belongs together.\n"
    "    rest=${rest#*\"${COMP_WORDS[0]}\"}\n"
    "    for ((i = 1; i <= COMP_CWORD; i++)); do\n"
    "        piece=${COMP_WORDS[i]}\n"
    "        if [[ $rest == [[:blank:]]* ]]; then\n"
    "            rest=${rest#\"${rest%%[![:blank:]]*}\"}\n"
    "            words+=('')\n"
    "        fi\n"
    "        ((i == COMP_CWORD)) && piece=$rest\n"
    "        words[${#words[@]} ? ${#words[@]} - 1 : 0]+=$piece\n"
    "        rest=${rest#\"$piece\"}\n"
    "    done\n"
    "    mapfile -t lines < <(\"${COMP_WORDS[0]/#\\~/$HOME}\" __complete \"${words[@]}\" "
    "2>/dev/null)\n"
    "    if [[ ${lines[0]} == :files ]]; then\n"
    "        compopt -o default\n"
    "        return\n"
    "    fi\n"
    "    piece=${words[${#words[@]} - 1]}\n"
    "    [[ $breaks ]] && lead=${piece%\"${piece##*[\"$breaks\"]}\"}\n"
    "    for piece in \"${lines[@]}\"; do\n"
    "        piece=${piece%%$'\\t'*}\n"
    "        COMPREPLY+=(\"${piece#\"$lead\"}\")\n"
    "    done\n"
    "}\n"
    "complete -F _cwsandbox cwsandbox\n";

static const char zsh_script[] =
    "#compdef cwsandbox\n"
    "# zsh completion of cwsandbox, written by `cwsandbox completion zsh`\n"
    "_cwsandbox() {\n"
    "    local line\n"
    "    local -a lines found\n"
    "    lines=(\"${(@f)$(\"${words[1]/#\\~/$HOME}\" __complete \"${(@Q)words[2,CURRENT]}\" "
    "2>/dev/null)}\")\n"
    "    if [[ $lines[1] == :files ]]; then\n"
    "        [[ $PREFIX == --*=* ]] && compset -P '*='\n"
    "        _files\n"
    "        return\n"
    "    fi\n"
    "    for line in \"${lines[@]}\"; do\n"
    "        [[ -n $line ]] || continue\n"
    "        found+=(\"${${line%%$'\\t'*}//:/\\\\:}\")\n"
    "        [[ $line == *$'\\t'* ]] && found[-1]+=\":${line#*$'\\t'}\"\n"
    "    done\n"
    "    _describe cwsandbox found\n"
    "}\n"
    "if [[ $funcstack[1] == _cwsandbox ]]; then\n"
    "    _cwsandbox \"$@\"\n"
    "else\n"
    "    compdef _cwsandbox cwsandbox\n"
    "fi\n";

static const char fish_script[] =
    "# fish completion of cwsandbox, written by `cwsandbox completion fish`\n"
    "function __cwsandbox_complete\n"
    "    set -l before (commandline -opc)\n"
    "    set -l current (commandline -ct)\n"
    "    set -l found (command $before[1] __complete $before[2..-1] \"$current\" 2>/dev/null)\n"
    "    if test \"$found[1]\" = :files\n"
    "        set -l lead (string match -r -- '^--[^=]*=' \"$current\")\n"
    "        for path in (__fish_complete_path (string replace -r -- '^--[^=]*=' '' "
    "\"$current\"))\n"
    "            echo -- \"$lead$path\"\n"
    "        end\n"
    "    else if set -q found[1]\n"
    "        printf '%s\\n' $found\n"
    "    end\n"
    "end\n"
    "complete -c cwsandbox -f -a '(__cwsandbox_complete)'\n";

static const char *const shells[] = {"bash", "zsh", "fish", NULL};
static const char *const scripts[] = {bash_script, zsh_script, fish_script};

struct args {
    const char *shell;
};

static const struct operand operands[] = {
    {"SHELL", OPERAND_ONE, offsetof(struct args, shell), "bash, zsh or fish.", COMPLETE_NOTHING,
     shells},
};

static int run(struct cli *cli, const void *data)
{
    const struct args *args = data;
    for (size_t i = 0; shells[i]; i++) {
        if (strcmp(args->shell, shells[i]) == 0) {
            (void)fputs(scripts[i], stdout);
            return EXIT_FINE;
        }
    }
    return cli_usage(cli, "Invalid value for 'SHELL': '%s' is not one of bash, zsh, fish.",
                     args->shell);
}

const struct verb verb_completion = {
    .name = "completion",
    .summary = "Print the completion script of a shell.",
    .description = "Needed only where the installed scripts are not found, such as in a Python "
                   "environment.\nExamples:\n"
                   "  source <(cwsandbox completion bash)\n"
                   "  cwsandbox completion fish | source",
    .operands = operands,
    .n_operands = ARRAY_SIZE(operands),
    .args_size = sizeof(struct args),
    .run = run,
};

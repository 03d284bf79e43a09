/** `quorate completion`: words for the shell, taken from the commands themselves. */
import { Argument, type Command } from 'commander';
import { run, type Shell } from '../context.ts';
import { EXIT } from '../exit-codes.ts';

/** Options and subcommands by the words before them: `['loop create', ['--plan', …]]`. */
function words(command: Command, path: readonly string[], globals: readonly string[]): [string, readonly string[]][] {
  const help = command.createHelp();
  const commands = help.visibleCommands(command).filter((sub) => sub.name() !== 'help');
  const options = help.visibleOptions(command).flatMap((option) => (option.long ? [option.long] : []));
  const own: [string, readonly string[]] = [
    path.join(' '),
    [...new Set([...commands.map((sub) => sub.name()), ...options, ...globals])].sort(),
  ];
  return [own, ...commands.flatMap((sub) => words(sub, [...path, sub.name()], globals))];
}

export function bashCompletion(program: Command): string {
  const globals = program.options.flatMap((option) => (option.long ? [option.long] : []));
  const cases = words(program, [], globals).map(([path, list]) => `    '${path}') words='${list.join(' ')}' ;;`);
  return `# bash completion for quorate: source <(quorate completion bash)
_quorate() {
  local path='' words='' word i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    case "$word" in -*) ;; *) case " $(_quorate_paths) " in *" \${path:+$path/}$word "*) path="\${path:+$path/}$word" ;; esac ;; esac
  done
  case "\${path//\\// }" in
${cases.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
  [[ \${#COMPREPLY[@]} -eq 0 ]] && COMPREPLY=($(compgen -f -- "\${COMP_WORDS[COMP_CWORD]}"))
}
_quorate_paths() {
  echo '${words(program, [], globals)
    .map(([path]) => path.replaceAll(' ', '/'))
    .filter((path) => path !== '')
    .join(' ')}'
}
complete -F _quorate quorate
`;
}

export function addCompletionCommand(program: Command, shell: Shell): void {
  program
    .command('completion')
    .description('print a completion script for your shell')
    .addArgument(new Argument('<shell>').choices(['bash']))
    .addHelpText('after', '\nExample:\n  source <(quorate completion bash)')
    .action((name: string, _options: object, command: Command) =>
      run(shell, command, async ({ out }) => {
        out.result({ shell: name, script: bashCompletion(program) }, bashCompletion(program).trimEnd());
        return EXIT.ok;
      }),
    );
}

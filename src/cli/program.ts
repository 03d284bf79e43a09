/** The command tree of `quorate`. */
import { Command, CommanderError } from 'commander';
import type { Setting } from '../server/config-settings.ts';
import { VERSION } from '../server/version.ts';
import { addAgentCommands } from './commands/agent.ts';
import { addAuditCommands } from './commands/audit.ts';
import { addAvailabilityCommands } from './commands/availability.ts';
import { addBackupCommands } from './commands/backup.ts';
import { addClusterCommands } from './commands/cluster.ts';
import { addCompletionCommand } from './commands/completion.ts';
import { addDemoCommands } from './commands/demo.ts';
import { addDevCommand } from './commands/dev.ts';
import { addDocumentCommands } from './commands/document.ts';
import { addEffectCommands } from './commands/effect.ts';
import { addFeatureLevelCommands } from './commands/feature-level.ts';
import { addIssueCommands } from './commands/issue.ts';
import { addLoopCommands } from './commands/loop.ts';
import { addLeaderCommands, addMemberCommands } from './commands/member.ts';
import { addOverrideCommands } from './commands/override.ts';
import { addPhaseCommands } from './commands/phase.ts';
import { addPlanCommands } from './commands/plan.ts';
import { addPolicyCommands } from './commands/policy.ts';
import { addRecoveryCommands } from './commands/recovery.ts';
import { addRestoreCommand } from './commands/restore.ts';
import { addServerCommand } from './commands/server.ts';
import { addSignCommands } from './commands/sign.ts';
import { addSupervisorCommands } from './commands/supervisor.ts';
import { addWalCommands } from './commands/wal.ts';
import { addGlobalOptions, type Shell } from './context.ts';
import { EXIT, EXIT_CODES_HELP, UsageError } from './exit-codes.ts';
import { Output } from './output.ts';

const EXAMPLES = `
Examples:
  quorate demo                                  watch a cluster survive kills
  quorate dev                                   three members on this machine
  quorate status
  quorate loop create nightly
  quorate phase begin nightly ANALYZE --json
  quorate member list
  quorate backup cluster.qbk`;

export function buildProgram(shell: Shell, settings: readonly Setting[]): Command {
  const program = new Command('quorate')
    .description('A replicated coordinator for work that moves in phases.')
    .version(VERSION)
    .addHelpText('after', `${EXAMPLES}\n${EXIT_CODES_HELP}`)
    .showSuggestionAfterError()
    // Where somebody looks who wants to know whether --json is there.
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => void shell.stdout.write(text),
      writeErr: (text) => void shell.stderr.write(text),
      outputError: (text, write) => write(text.replace(/^error: /, 'quorate: ')),
    });
  addGlobalOptions(program, shell.env);
  addServerCommand(program, shell, settings);
  addDevCommand(program, shell);
  addDemoCommands(program, shell);
  addClusterCommands(program, shell);
  addMemberCommands(program, shell);
  addLeaderCommands(program, shell);
  addAvailabilityCommands(program, shell);
  addBackupCommands(program, shell);
  addRestoreCommand(program, shell);
  addWalCommands(program, shell);
  addFeatureLevelCommands(program, shell);
  addLoopCommands(program, shell);
  addPhaseCommands(program, shell);
  addPlanCommands(program, shell);
  addDocumentCommands(program, shell);
  addEffectCommands(program, shell);
  addRecoveryCommands(program, shell);
  addAgentCommands(program, shell);
  addIssueCommands(program, shell);
  addPolicyCommands(program, shell);
  addOverrideCommands(program, shell);
  addSupervisorCommands(program, shell);
  addSignCommands(program, shell);
  addAuditCommands(program, shell);
  addCompletionCommand(program, shell);
  inherit(program);
  return program;
}

/** Commands that were added ready-made do not take over how errors are shown. */
function inherit(command: Command): void {
  command.exitOverride();
  for (const sub of command.commands) {
    sub.copyInheritedSettings(command);
    inherit(sub);
  }
}

/** Asked of the arguments themselves: they could not be parsed. */
function wantsJson(args: readonly string[]): boolean {
  const end = args.indexOf('--');
  return (end === -1 ? args : args.slice(0, end)).includes('--json');
}

function usageMessage(error: CommanderError): string {
  if (error.code === 'commander.help') return 'a command is missing; see quorate --help';
  return error.message.replace(/^error: /, '');
}

/** Parses and runs; the exit code is in `shell.exitCode`. */
export async function runProgram(shell: Shell, args: readonly string[]): Promise<void> {
  try {
    // Their table comes with parsers and validators: half a command's start, and only these two need it.
    const wanted = args.includes('server') || args.includes('completion');
    const settings = wanted ? (await import('../server/config-settings.ts')).SETTINGS : [];
    await buildProgram(shell, settings).parseAsync([...args], { from: 'user' });
  } catch (error) {
    if (!(error instanceof UsageError || error instanceof CommanderError)) throw error;
    // Help that was asked for is an answer; help that is shown for want of a command is not.
    const answered = error instanceof CommanderError && error.exitCode === 0;
    shell.exitCode = answered ? EXIT.ok : EXIT.usage;
    if (answered) return;
    const out = new Output(shell.stdout, shell.stderr, shell.env, wantsJson(args));
    if (error instanceof UsageError) out.failure(error, false);
    // Its words for people are on stderr already.
    else out.failureObject(new UsageError(usageMessage(error)));
  }
}

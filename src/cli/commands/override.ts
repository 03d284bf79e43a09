/** `quorate override`: people decide where automation stopped. */
import { type Command, Option } from 'commander';
import type { OverrideAction } from '../../client/client.ts';
import { type Context, run, type Shell, withSession } from '../context.ts';
import { EXIT, type ExitCode, UsageError } from '../exit-codes.ts';
import { readSignatures, signaturesFor } from '../signature-files.ts';

const ACTIONS: Readonly<Record<OverrideAction, string>> = {
  resume: 'go on with a recovery that waits, is blocked, or has failed',
  abort: 'give a recovery up: the run ends HARD_FAILED, and the loop may go on',
  'force-rollback': 'undo the run without trying to roll it forward',
};

interface OverrideOptions {
  readonly signature: readonly string[];
}

export function addSignatureOption(command: Command, required: boolean): Command {
  const option = new Option('--signature <files...>', 'what supervisors signed: files of quorate sign');
  return command.addOption(required ? option.makeOptionMandatory() : option);
}

async function override(
  context: Context,
  action: OverrideAction,
  target: string,
  { signature }: OverrideOptions,
): Promise<ExitCode> {
  const { shell, out } = context;
  const given = await readSignatures(shell.cwd, signature);
  for (const { path, file } of given) {
    if (file.kind === 'override' && file.target === target && file.action === action) continue;
    const signed = file.kind === 'override' ? `${file.action} of ${file.target}` : 'a change of the roster';
    throw new UsageError(`${path}: it signs ${signed}, not ${action} of ${target}; sign again, or give the right file`);
  }
  const [first] = given;
  if (first === undefined) throw new UsageError('no signature was given; make one with quorate sign');
  const { expiresAtMs, nonce } = first.file;
  const answer = await withSession(context, async (session, client) => {
    const roster = await client.overrides.roster({ signal: shell.signal });
    const signatures = signaturesFor(roster, given);
    const signed = { target, action, expiresAtMs, nonce, signatures };
    return await session.override(signed, { traceId: target, signal: shell.signal });
  });
  const moved = answer.recoveries === 1 ? 'one recovery moved' : `${answer.recoveries} recoveries moved`;
  out.result({ traceId: target, action, ...answer }, `${action} of ${target}: ${moved}`);
  return EXIT.ok;
}

export function addOverrideCommands(program: Command, shell: Shell): void {
  const command = program.command('override').description('signed decisions of supervisors about recoveries');
  for (const action of Object.keys(ACTIONS) as OverrideAction[]) {
    const one = command
      .command(action)
      .description(ACTIONS[action])
      .argument('<trace-id>', 'whose recoveries are meant; `quorate recovery list` shows it');
    addSignatureOption(one, true)
      .addHelpText(
        'after',
        `
It takes signatures of min(ceil(N/2), 3) different supervisors of the N on the roster; each override is carried out once.

Examples:
  quorate sign --key ada.pem --trace t-42 --action ${action} > ada.json
  quorate sign --key bob.pem --with ada.json > bob.json
  quorate override ${action} t-42 --signature ada.json bob.json`,
      )
      .action((traceId: string, options: OverrideOptions, self: Command) =>
        run(shell, self, (context) => override(context, action, traceId, options)),
      );
  }
}

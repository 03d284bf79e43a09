/** `quorate supervisor`: who may sign. */
import { randomBytes } from 'node:crypto';
import type { Command } from 'commander';
import type { Roster, SupervisorsChanged } from '../../client/client.ts';
import { addConsistencyOption, type ConsistencyOption, readOptions } from '../consistency.ts';
import { type Context, run, type Shell, withClient, withSession } from '../context.ts';
import { EXIT, type ExitCode, UsageError } from '../exit-codes.ts';
import { table } from '../output.ts';
import { readSignatures, signaturesFor } from '../signature-files.ts';
import { addSignatureOption } from './override.ts';
import { parseNeeded } from './sign.ts';

type Changes = readonly { readonly name: string; readonly publicKey: string }[];

interface SignedOptions {
  readonly signature?: readonly string[];
}

/** How long an unsigned change of an empty roster is good for, milliseconds by the clock of the cluster. */
const FIRST_EXPIRY_MS = 60_000;
const PUBLIC_KEY = /^[0-9a-f]{64}$/i;

const SIGNING_HELP = `
The first supervisors need no signatures. Later changes take those of min(ceil(N/2), 3) of the N on the roster, or of as many as were set
with quorate supervisor needed.
`;

function listText({ supervisors, threshold, signaturesNeeded }: Roster): string {
  if (supervisors.length === 0) return 'nobody is on the roster; `quorate supervisor add` puts the first ones on it';
  const rows = supervisors.map(({ name, publicKey, addedRevision }) => [name, publicKey, addedRevision]);
  const head = ['SUPERVISOR', 'PUBLIC KEY', 'SINCE REVISION'];
  const set = signaturesNeeded === 0 ? '' : ` (${signaturesNeeded} were asked for)`;
  return `${table(head, rows)}\nan override takes ${threshold} of ${supervisors.length}${set}`;
}

function changedText({ supervisors, threshold }: SupervisorsChanged): string {
  const people = supervisors === 1 ? 'one supervisor' : `${supervisors} supervisors`;
  return `${people} on the roster; an override takes ${threshold}`;
}

interface Wanted {
  readonly changes: Changes;
  /** null: as before. */
  readonly signaturesNeeded: number | null;
}

function spelled({ changes, signaturesNeeded }: Wanted): string {
  const people = changes.map(({ name, publicKey }) =>
    publicKey === '' ? `remove ${name}` : `add ${name}=${publicKey}`,
  );
  const needed = signaturesNeeded === 0 ? 'rule' : signaturesNeeded;
  return [...people, ...(needed === null ? [] : [`needed ${needed}`])].join(', ');
}

const only = (changes: Changes): Wanted => ({ changes, signaturesNeeded: null });

/** `asked` null: whatever was signed. */
async function change(context: Context, asked: Wanted | null, options: SignedOptions): Promise<ExitCode> {
  const { shell, out } = context;
  const given = await readSignatures(shell.cwd, options.signature ?? []);
  const file = given[0]?.file;
  if (file !== undefined && file.kind !== 'roster') {
    throw new UsageError(
      `${given[0]?.path}: it signs an override; sign the change with quorate sign --add or --remove`,
    );
  }
  const wanted = asked ?? file;
  if (wanted === undefined) throw new UsageError('no signature was given; it says what is to be changed');
  if (file !== undefined && spelled(file) !== spelled(wanted)) {
    const signed = spelled(file);
    throw new UsageError(
      `${given[0]?.path}: it signs ${signed}, not ${spelled(wanted)}; sign again, or give the right file`,
    );
  }
  const answer = await withSession(context, async (session, client) => {
    const roster = await client.overrides.roster({ signal: shell.signal });
    const signatures = signaturesFor(roster, given);
    const expiresAtMs = file?.expiresAtMs ?? roster.clusterTimeMs + FIRST_EXPIRY_MS;
    const nonce = file?.nonce ?? randomBytes(16).toString('hex');
    const { changes, signaturesNeeded } = wanted;
    const signed = { changes, signaturesNeeded, expiresAtMs, nonce, signatures };
    return await session.changeSupervisors(signed, { signal: shell.signal });
  });
  out.result(answer, changedText(answer));
  return EXIT.ok;
}

function addAdd(supervisor: Command, shell: Shell): void {
  const add = supervisor
    .command('add')
    .description('put somebody on the roster, or give them a new key')
    .argument('<name>')
    .requiredOption('--public-key <key>', '64 hexadecimal digits, as quorate sign keygen prints it');
  addSignatureOption(add, false)
    .addHelpText(
      'after',
      `${SIGNING_HELP}
Examples:
  quorate supervisor add ada --public-key KEY
  quorate sign --key ada.pem --add bob=KEY > ada.json
  quorate supervisor add bob --public-key KEY --signature ada.json`,
    )
    .action((name: string, options: SignedOptions & { publicKey: string }, command: Command) =>
      run(shell, command, (context) => {
        if (!PUBLIC_KEY.test(options.publicKey)) {
          throw new UsageError('--public-key: give 64 hexadecimal digits, as quorate sign keygen prints them');
        }
        return change(context, only([{ name, publicKey: options.publicKey.toLowerCase() }]), options);
      }),
    );
}

function addRemove(supervisor: Command, shell: Shell): void {
  const remove = supervisor
    .command('remove')
    .description('take somebody off the roster; the last one stays')
    .argument('<name>');
  addSignatureOption(remove, false)
    .addHelpText(
      'after',
      `${SIGNING_HELP}
Example:
  quorate sign --key ada.pem --remove bob > ada.json
  quorate supervisor remove bob --signature ada.json`,
    )
    .action((name: string, options: SignedOptions, command: Command) =>
      run(shell, command, (context) => change(context, only([{ name, publicKey: '' }]), options)),
    );
}

function addNeeded(supervisor: Command, shell: Shell): void {
  const needed = supervisor
    .command('needed')
    .description('how many signatures it takes from now on: a number up to that of the roster, or rule')
    .argument('<n|rule>', 'rule: min(ceil(N/2), 3)', parseNeeded);
  addSignatureOption(needed, false)
    .addHelpText(
      'after',
      `
Signed as any change of the roster. If the roster becomes smaller than the number, it takes all who are left.

Example:
  quorate sign --key ada.pem --needed 2 > ada.json
  quorate supervisor needed 2 --signature ada.json`,
    )
    .action((signaturesNeeded: number, options: SignedOptions, command: Command) =>
      run(shell, command, (context) => change(context, { changes: [], signaturesNeeded }, options)),
    );
}

export function addSupervisorCommands(program: Command, shell: Shell): void {
  const supervisor = program
    .command('supervisor')
    .description('who may sign overrides: list, add, remove, needed, apply');
  addConsistencyOption(supervisor.command('list').description('who is on the roster, and how many signatures it takes'))
    .addHelpText('after', '\nExamples:\n  quorate supervisor list\n  quorate supervisor list --json | jq .threshold')
    .action((options: ConsistencyOption, command: Command) =>
      run(shell, command, async (context) => {
        const roster = await withClient(context, (client) => client.overrides.roster(readOptions(context, options)));
        context.out.result(roster, listText(roster));
        return EXIT.ok;
      }),
    );
  addAdd(supervisor, shell);
  addRemove(supervisor, shell);
  addNeeded(supervisor, shell);
  const apply = supervisor.command('apply').description('change the roster as it was signed: several changes at once');
  addSignatureOption(apply, true)
    .addHelpText(
      'after',
      `
All changes are made, or none: so the last supervisor can hand over to another.

Example:
  quorate sign --key ada.pem --add bob=KEY --remove ada > ada.json
  quorate supervisor apply --signature ada.json`,
    )
    .action((options: SignedOptions, command: Command) =>
      run(shell, command, (context) => change(context, null, options)),
    );
}

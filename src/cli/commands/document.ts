/** `quorate document`: put, get, list, history, delete, decommission. */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { Command } from 'commander';
import type { Document, DocumentInfo, DocumentWriter, PhaseRef, QuorateClient } from '../../client/client.ts';
import { QuorateError } from '../../client/client.ts';
import { addConsistencyOption, type ConsistencyOption, readOptions } from '../consistency.ts';
import { type Context, parseCount, run, type Shell, withClient, withSession } from '../context.ts';
import { EXIT, UsageError } from '../exit-codes.ts';
import { fileProblem } from '../file-problem.ts';
import { formatTime, table } from '../output.ts';

interface WriterOptions {
  readonly expect?: number;
  readonly phase?: string;
  readonly g?: number;
  readonly token?: number;
}

interface PutOptions extends WriterOptions {
  readonly file?: string;
  readonly content?: string;
  readonly schema?: string | false;
  readonly causal?: readonly string[];
}

interface GetOptions extends ConsistencyOption {
  readonly at?: number;
  readonly asAtBegin?: string;
  readonly g?: number;
}

const collect = (value: string, before: readonly string[] = []): readonly string[] => [...before, value];

function writeCommand(name: string, description: string, example: string): Command {
  return new Command(name)
    .description(description)
    .argument('<loop>')
    .argument('<name>')
    .option('--expect <version>', 'the version that the change was made from; default: the newest', parseCount)
    .option('--phase <phase>', 'the phase that writes; default: none, and rollbacks leave it alone')
    .option('--g <round>', 'round of --phase; default: the open one', parseCount)
    .option('--token <token>', 'fencing token of --phase', parseCount)
    .addHelpText('after', `\nExample:\n  ${example}`);
}

async function runOf(client: QuorateClient, loop: string, phase: string, g: number | undefined, shell: Shell) {
  const ref: PhaseRef = { loop, phase, g: g ?? (await client.getLoop(loop, { signal: shell.signal })).loop.g };
  return ref;
}

async function writerOf(
  client: QuorateClient,
  loop: string,
  { phase, g, token }: WriterOptions,
  shell: Shell,
): Promise<{ readonly by?: DocumentWriter }> {
  if (phase === undefined) return {};
  if (token === undefined) throw new UsageError('--phase needs --token, the fencing token that phase begin printed');
  return { by: { ref: await runOf(client, loop, phase, g, shell), token } };
}

/** The version to name: as told, or the newest; 0 where there is none. */
async function versionToName(
  client: QuorateClient,
  loop: string,
  name: string,
  expect: number | undefined,
  shell: Shell,
): Promise<number> {
  if (expect !== undefined) return expect;
  try {
    return (await client.documents.get(loop, name, { signal: shell.signal })).version;
  } catch (error) {
    if (error instanceof QuorateError && error.reason === 'DOCUMENT_NOT_FOUND') return 0;
    throw error;
  }
}

async function textOf(shell: Shell, file: string): Promise<string> {
  const path = resolve(shell.cwd, file);
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (error) {
    throw fileProblem(path, error);
  }
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw new UsageError(`${path}: it is no UTF-8 text; documents are`, { cause: error });
  }
}

async function contentOf(shell: Shell, { file, content }: PutOptions): Promise<string> {
  if ((file === undefined) === (content === undefined)) throw new UsageError('give either --file or --content');
  return content ?? textOf(shell, file ?? '');
}

async function schemaOf(shell: Shell, { schema }: PutOptions): Promise<{ readonly schema?: string }> {
  if (schema === undefined) return {};
  return { schema: schema === false ? '' : await textOf(shell, schema) };
}

function putCommand(shell: Shell): Command {
  const example = 'quorate document put nightly plan.json --file plan.json --schema plan.schema.json';
  return writeCommand('put', 'write the next version of a document', example)
    .option('--file <path>', 'the content, UTF-8')
    .option('--content <text>', 'the content')
    .option('--schema <path>', 'JSON Schema that the content must match; default: as it was')
    .option('--no-schema', 'take the schema away')
    .option('--causal <pointer>', 'a field with a clock of its own, such as /spec; may be given several times', collect)
    .action((loop: string, name: string, options: PutOptions, command: Command) =>
      run(shell, command, async (context) => {
        const content = await contentOf(shell, options);
        // Commander sets true where nothing was said of --no-schema.
        const said = command.getOptionValueSource('schema') === 'cli' ? await schemaOf(shell, options) : {};
        const answer = await withSession(context, async (session, client) =>
          session.documents.put(loop, name, content, {
            expectedVersion: await versionToName(client, loop, name, options.expect, shell),
            ...said,
            ...(options.causal === undefined ? {} : { causalFields: options.causal }),
            ...(await writerOf(client, loop, options, shell)),
            signal: shell.signal,
          }),
        );
        context.out.result({ loop, name, ...answer }, `${loop} ${name}: version ${answer.version}`);
        return EXIT.ok;
      }),
    );
}

function deleteCommand(shell: Shell): Command {
  const example = 'quorate document delete nightly plan.json --expect 4';
  return writeCommand('delete', 'delete a document; its version numbers go on', example).action(
    (loop: string, name: string, options: WriterOptions, command: Command) =>
      run(shell, command, async (context) => {
        const answer = await withSession(context, async (session, client) => {
          // One that is not there is refused by name, not for a version of 0.
          const expectedVersion =
            options.expect ?? (await client.documents.get(loop, name, { signal: shell.signal })).version;
          const by = await writerOf(client, loop, options, shell);
          return session.documents.delete(loop, name, { expectedVersion, ...by, signal: shell.signal });
        });
        context.out.result({ loop, name, ...answer }, `${loop} ${name}: deleted, version ${answer.version}`);
        return EXIT.ok;
      }),
  );
}

function facts(document: Document): string {
  const { loop, name, version, deleted, sha256, writtenBy, caller, changedAtMs, schema, causalFields } = document;
  const by = writtenBy === null ? caller : `${caller} in round ${writtenBy.g}, ${writtenBy.phase}`;
  const clocks = Object.entries(causalFields).map(([pointer, clock]) => `  ${pointer}  ${JSON.stringify(clock)}`);
  return [
    `${loop} ${name}  version ${version}${deleted ? ' (deleted)' : ''}  ${formatTime(changedAtMs)}  by ${by}`,
    `sha256 ${sha256 === '' ? '–' : sha256}${schema === null ? '' : '  with a schema'}`,
    ...clocks,
  ].join('\n');
}

function getCommand(shell: Shell): Command {
  const command = new Command('get')
    .description('print the content of a document; what is known of it goes to stderr')
    .argument('<loop>')
    .argument('<name>')
    .option('--at <version>', 'this version; default: the newest', parseCount)
    .option('--as-at-begin <phase>', 'as it was when this phase was begun')
    .option('--g <round>', 'round of --as-at-begin; default: the open one', parseCount)
    .addHelpText('after', '\nExample:\n  quorate document get nightly plan.json > plan.json');
  return addConsistencyOption(command).action((loop: string, name: string, options: GetOptions, self: Command) =>
    run(shell, self, async (context) => {
      const { at: version, asAtBegin, g } = options;
      const document = await withClient(context, async (client) =>
        client.documents.get(loop, name, {
          ...readOptions(context, options),
          ...(version === undefined ? {} : { version }),
          ...(asAtBegin === undefined ? {} : { ofRun: await runOf(client, loop, asAtBegin, g, shell) }),
        }),
      );
      context.out.result(document, document.content);
      if (!context.out.json) context.out.note(facts(document));
      return EXIT.ok;
    }),
  );
}

function infoTable(documents: readonly DocumentInfo[]): string {
  const rows = documents.map((one) => [
    one.name,
    one.version,
    one.deleted ? 'deleted' : one.sha256.slice(0, 12),
    one.writtenBy === null ? '–' : `${one.writtenBy.g} ${one.writtenBy.phase}`,
    one.caller,
    formatTime(one.changedAtMs),
  ]);
  return table(['NAME', 'VERSION', 'SHA-256', 'WRITTEN BY', 'CALLER', 'CHANGED'], rows);
}

function show(context: Context, key: string, documents: readonly DocumentInfo[]): void {
  const text = documents.length === 0 ? 'no documents' : infoTable(documents);
  context.out.result({ [key]: documents }, text);
}

function listCommand(shell: Shell): Command {
  const command = new Command('list')
    .description('documents of a loop')
    .argument('<loop>')
    .addHelpText('after', '\nExample:\n  quorate document list nightly');
  return addConsistencyOption(command).action((loop: string, options: ConsistencyOption, self: Command) =>
    run(shell, self, async (context) => {
      const documents: DocumentInfo[] = [];
      await withClient(context, async (client) => {
        for await (const one of client.documents.list(loop, readOptions(context, options))) documents.push(one);
      });
      show(context, 'documents', documents);
      return EXIT.ok;
    }),
  );
}

function historyCommand(shell: Shell): Command {
  const command = new Command('history')
    .description('versions of a document that are kept, newest first')
    .argument('<loop>')
    .argument('<name>')
    .addHelpText('after', '\nExample:\n  quorate document history nightly plan.json');
  return addConsistencyOption(command).action((loop: string, name: string, options: ConsistencyOption, self: Command) =>
    run(shell, self, async (context) => {
      const read = readOptions(context, options);
      show(context, 'versions', await withClient(context, (client) => client.documents.history(loop, name, read)));
      return EXIT.ok;
    }),
  );
}

function decommissionCommand(shell: Shell): Command {
  return new Command('decommission-node')
    .description('say that a node is gone for good: its entries in vector clocks are dropped after a while')
    .argument('<node>', 'as it is named in vector clocks: the caller of its requests')
    .addHelpText('after', '\nExample:\n  quorate document decommission-node agent-7')
    .action((node: string, _options: object, self: Command) =>
      run(shell, self, async (context) => {
        const answer = await withSession(context, (session) =>
          session.documents.decommissionNode(node, { signal: shell.signal }),
        );
        context.out.result({ node, ...answer }, `${node}: entries are dropped at ${formatTime(answer.dropAtMs)}`);
        return EXIT.ok;
      }),
    );
}

export function addDocumentCommands(program: Command, shell: Shell): void {
  const document = program.command('document').description('control documents of loops');
  document.addCommand(putCommand(shell));
  document.addCommand(getCommand(shell));
  document.addCommand(listCommand(shell));
  document.addCommand(historyCommand(shell));
  document.addCommand(deleteCommand(shell));
  document.addCommand(decommissionCommand(shell));
}

/** What a write of a document needs besides the request: the version that it was made from (P6). */
import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { MachineView } from '../machine/api.ts';
import { documentKey, versionOf } from '../machine/document/store.ts';
import type { DocumentCommand, DocumentRow } from '../machine/document/types.ts';
import type { StatusError } from '../rpc/status.ts';
import { err, ok, type Result } from '../types/result.ts';
import type { ApiContext } from './context.ts';
import { failure, refused } from './errors.ts';
import { streamOfLoop } from './routing.ts';
import type { CallScope } from './unary.ts';

export type PutCommand = Extract<DocumentCommand, { kind: 'putDocument' }>;

/** In a pipeline others wait behind it; then it is refused, and may be sent again. */
const READ_MS_MAX = 1_000;
/** No document comes to have it: the largest that a command may expect. */
const NEVER_VERSION = Number.MAX_SAFE_INTEGER - 1;

export function sha256Of(content: string): string {
  return createHash('sha256').update(content, 'utf8').digest('hex');
}

/**
 * Checks the content against the schema that will hold, and finds the causal fields that change. Versions never change, so it
 * does not matter how old the state is that shows the expected one. One that is not kept any more is refused by the state
 * machine for certain: then there is nothing to check. One that is not there yet might be when the command is carried out, which would not
 * be checked then: what is proposed in its place is refused for certain, too, and the session remembers that.
 */
export async function completePut(
  context: ApiContext,
  body: PutCommand,
  scope: CallScope,
): Promise<Result<PutCommand, StatusError>> {
  // Nothing of an older version matters: no need to look for it.
  const independent = body.schema !== null && body.causalFields !== null && body.causalFields.length === 0;
  const found = body.expectedVersion === 0 || independent ? ok(null) : await expectedVersion(context, body, scope);
  if (!found.ok) return found;
  if (found.value?.row === null) {
    const mayCome = found.value.newest < body.expectedVersion;
    return ok(mayCome ? { ...body, expectedVersion: Math.max(NEVER_VERSION, body.expectedVersion) } : body);
  }
  const before = found.value?.row ?? null;
  const schema = body.schema ?? before?.schema ?? '';
  if (body.schema !== null && body.schema !== '') {
    const problem = context.schemas.checkSchema(body.schema);
    if (problem !== null) return err(failure('INVALID_ARGUMENT', `schema: ${problem}`, violation('schema', problem)));
  }
  const problem = context.schemas.validate(schema, body.content);
  if (problem !== null) return err(documentInvalid(body, problem));
  const causalFields = body.causalFields ?? before?.causalFields ?? [];
  if (causalFields.length === 0) return ok(body);
  const after = parsed(body.content);
  if (after === undefined) return err(documentInvalid(body, 'causal fields are those of a JSON value, and it is none'));
  const was = parsed(before?.content ?? '');
  const changed = causalFields.filter((field) => !isDeepStrictEqual(valueAt(was, field), valueAt(after, field)));
  return ok({ ...body, causalChanged: changed });
}

function violation(field: string, description: string) {
  return { violations: [{ field, description }] };
}

function documentInvalid({ name, loop }: PutCommand, problem: string): StatusError {
  const message = `${name} is not as its schema wants it: ${problem}; correct the content`;
  return failure('DOCUMENT_INVALID', message, { metadata: { loop, name }, ...violation('content', problem) });
}

interface Expected {
  /** Of the version that the writer read; null: it is not there any more, or not yet. */
  readonly row: DocumentRow | null;
  /** Of the document, as far as it was looked for; 0: there is none. */
  readonly newest: number;
}

async function expectedVersion(
  context: ApiContext,
  body: PutCommand,
  scope: CallScope,
): Promise<Result<Expected, StatusError>> {
  const stream = streamOfLoop(body.loop);
  const here = ({ rows }: MachineView) => versionOf(rows, body.loop, body.name, body.expectedVersion);
  const local = here(context.member.local(stream));
  if (local !== null) return ok({ row: local, newest: local.version });
  // This member may be behind: the writer read the version somewhere else.
  const readMs = Math.min(scope.deadlineMs, READ_MS_MAX);
  const outcome = await context.member.read(stream, readMs, { kind: 'linearizable' });
  if (outcome.kind === 'refused') return err(refused(outcome, context.addressOf));
  const newest = outcome.view.rows.document.get(documentKey(body.loop, body.name))?.version ?? 0;
  return ok({ row: here(outcome.view), newest });
}

/** undefined: no JSON. */
function parsed(content: string): unknown {
  try {
    return JSON.parse(content);
  } catch {
    return undefined;
  }
}

/** What a JSON pointer (RFC 6901) leads to; undefined: nowhere. */
export function valueAt(root: unknown, pointer: string): unknown {
  let value = root;
  for (const token of pointer.split('/').slice(1)) {
    const name = token.replaceAll('~1', '/').replaceAll('~0', '~');
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
    value = (value as Readonly<Record<string, unknown>>)[name];
  }
  return value;
}

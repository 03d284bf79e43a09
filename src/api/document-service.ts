/** DocumentService: control documents of loops (P6, P7), and nodes that are gone (P8). */
import { type ClockDelta, DocumentService } from '../gen/quorate/v1/document_pb.ts';
import type { PhaseRef as RefMessage } from '../gen/quorate/v1/phase_pb.ts';
import type { MachineView } from '../machine/api.ts';
import { documentKey, olderVersions, snapshotOf, versionAt, versionOf } from '../machine/document/store.ts';
import type { DocumentRow } from '../machine/document/types.ts';
import { runKey } from '../machine/keys.ts';
import type { PhaseRef, VectorClock } from '../machine/types.ts';
import { encodeDelta } from '../machine/vector-clock.ts';
import type { RawDefinition, ServiceShape } from '../rpc/service.ts';
import type { StatusError } from '../rpc/status.ts';
import { assert } from '../types/assert.ts';
import type { FencingToken } from '../types/ids.ts';
import {
  CAUSAL_FIELD_LENGTH_MAX,
  CAUSAL_FIELDS_MAX,
  DOCUMENT_LENGTH_MAX,
  DOCUMENT_SCHEMA_LENGTH_MAX,
} from '../types/limits.ts';
import { err, ok, type Result } from '../types/result.ts';
import type { Check } from './check.ts';
import type { ApiContext } from './context.ts';
import { clockMessage } from './convert.ts';
import { completePut, type PutCommand, sha256Of } from './document-content.ts';
import { documentBytes, documentMessage } from './document-convert.ts';
import { failure } from './errors.ts';
import { mutation } from './mutation.ts';
import { findRun } from './phase-service.ts';
import { boundedPage, read } from './read.ts';
import { tablePage } from './table-page.ts';
import type { RawUnaryHandler } from './unary.ts';

const { method } = DocumentService;

type Handlers = { readonly [Name in keyof RawDefinition<ServiceShape<typeof DocumentService>>]: RawUnaryHandler };

export function documentHandlers(context: ApiContext): Handlers {
  return { putDocument: putDocument(context), ...documentMutations(context), ...documentReads(context) };
}

function putDocument(context: ApiContext): RawUnaryHandler {
  return mutation(context, method.putDocument, {
    session: 'optional',
    body: (request, check): PutCommand => {
      const content = check.text('content', request.content, DOCUMENT_LENGTH_MAX);
      const pointers = request.causalFields?.pointers;
      check.count('causal_fields.pointers', pointers?.length ?? 0, 0, CAUSAL_FIELDS_MAX);
      return {
        kind: 'putDocument',
        loop: check.name('loop', request.loop),
        name: check.name('name', request.name),
        expectedVersion: check.number('expected_version', request.expectedVersion, 0),
        content,
        sha256: checkedSha256(content, request.sha256, check),
        schema: request.schema === undefined ? null : check.text('schema', request.schema, DOCUMENT_SCHEMA_LENGTH_MAX),
        causalFields:
          pointers === undefined
            ? null
            : pointers
                .slice(0, CAUSAL_FIELDS_MAX)
                .map((one) => check.text('causal_fields.pointers', one, CAUSAL_FIELD_LENGTH_MAX)),
        causalChanged: [],
        ...writerOf(request, check),
        vectorClock: check.clock(request.vectorClock),
      };
    },
    prepare: (body, _request, scope) => {
      assert(body.kind === 'putDocument', 'the body is the one made above');
      return completePut(context, body, scope);
    },
    kind: 'documentPut',
    answer: (header, { version }) => ({
      $typeName: 'quorate.v1.PutDocumentResponse' as const,
      header,
      version: BigInt(version),
    }),
  });
}

/** The member works it out; one that the caller sent must be the same, or the content was changed on its way. */
function checkedSha256(content: string, sent: string, check: Check): string {
  const sha256 = sha256Of(content);
  if (sent !== '' && sent.toLowerCase() !== sha256) {
    check.report('sha256', `is not that of the content, which is ${sha256}; send the content that it was made of`);
  }
  return sha256;
}

function writerOf(
  { ref, fencingToken }: { readonly ref?: RefMessage | undefined; readonly fencingToken: bigint },
  check: Check,
): { readonly ref: PhaseRef | null; readonly token: FencingToken | 0 } {
  if (ref !== undefined) {
    return { ref: check.ref(ref), token: check.number<'FencingToken'>('fencing_token', fencingToken, 1) };
  }
  if (fencingToken !== 0n)
    check.report('fencing_token', 'is set without ref; name the run that writes too, or neither');
  return { ref: null, token: 0 };
}

function documentMutations(context: ApiContext): Pick<Handlers, 'deleteDocument' | 'decommissionNode'> {
  return {
    deleteDocument: mutation(context, method.deleteDocument, {
      session: 'optional',
      body: (request, check) => ({
        kind: 'deleteDocument',
        loop: check.name('loop', request.loop),
        name: check.name('name', request.name),
        expectedVersion: check.number('expected_version', request.expectedVersion, 1),
        ...writerOf(request, check),
        vectorClock: check.clock(request.vectorClock),
      }),
      kind: 'documentDeleted',
      answer: (header, { version }) => ({
        $typeName: 'quorate.v1.DeleteDocumentResponse' as const,
        header,
        version: BigInt(version),
      }),
    }),
    decommissionNode: mutation(context, method.decommissionNode, {
      session: 'optional',
      body: ({ node }, check) => ({ kind: 'decommissionNode', node: check.labelNotEmpty('node', node) }),
      kind: 'nodeDecommissioned',
      answer: (header, { dropAtMs }) => ({
        $typeName: 'quorate.v1.DecommissionNodeResponse' as const,
        header,
        dropAtMs: BigInt(dropAtMs),
      }),
    }),
  };
}

type DocumentReads = Pick<Handlers, 'getDocument' | 'listDocuments' | 'listDocumentVersions'>;

function documentReads(context: ApiContext): DocumentReads {
  return {
    getDocument: read(context, method.getDocument, {
      params: (request, check) => {
        const ofRun = request.ofRun === undefined ? null : check.ref(request.ofRun, 'of_run');
        const version: number = check.number('version', request.version, 0);
        if (ofRun !== null && version !== 0) check.report('version', 'is set with of_run; send one of the two');
        if (ofRun !== null && ofRun.loop !== request.loop)
          check.report('of_run.loop', 'is another loop; name the same');
        const known = request.knownClock === undefined ? null : check.clock(request.knownClock, 'known_clock');
        return {
          loop: check.name('loop', request.loop),
          name: check.name('name', request.name),
          version,
          ofRun,
          known,
        };
      },
      loop: ({ loop }) => loop,
      answer: (view, wanted) => {
        const row = findDocument(view, wanted);
        if (!row.ok) return row;
        const delta = deltaMessage(view, wanted.loop, wanted.known);
        return ok({
          $typeName: 'quorate.v1.GetDocumentResponse',
          document: documentMessage(view, row.value, 'full'),
          ...(delta === null ? {} : { clockDelta: delta }),
        });
      },
    }),
    listDocuments: read(context, method.listDocuments, {
      params: (request, check) => ({ loop: check.name('loop', request.loop), page: check.page(request) }),
      loop: ({ loop }) => loop,
      answer: (view, { loop, page }) => {
        if (view.loop(loop) === null) return err(loopNotFound(loop));
        const scan = { prefix: loop, wanted: (row: DocumentRow) => !row.deleted };
        const fetch = (rows: number) => tablePage(view.rows.document, scan, page.after, rows);
        const convert = (row: DocumentRow) => documentMessage(view, row, 'summary');
        const { messages, nextPageToken } = boundedPage(fetch, page.limit, convert, documentBytes);
        return ok({ $typeName: 'quorate.v1.ListDocumentsResponse', documents: messages, nextPageToken });
      },
    }),
    listDocumentVersions: read(context, method.listDocumentVersions, {
      params: (request, check) => ({ loop: check.name('loop', request.loop), name: check.name('name', request.name) }),
      loop: ({ loop }) => loop,
      answer: (view, { loop, name }) => {
        const newest = view.rows.document.get(documentKey(loop, name));
        if (newest === null) return err(documentNotFound(view, loop, name));
        const rows = [...olderVersions(view.rows, loop, name), newest].reverse();
        const versions = rows.map((row) => documentMessage(view, row, 'summary'));
        return ok({ $typeName: 'quorate.v1.ListDocumentVersionsResponse', versions });
      },
    }),
  };
}

interface WantedDocument {
  readonly loop: string;
  readonly name: string;
  /** 0: the newest. */
  readonly version: number;
  readonly ofRun: PhaseRef | null;
}

function findDocument(view: MachineView, wanted: WantedDocument): Result<DocumentRow, StatusError> {
  const { loop, name, version, ofRun } = wanted;
  if (ofRun !== null) return asAtBegin(view, wanted, ofRun);
  const row =
    version === 0 ? view.rows.document.get(documentKey(loop, name)) : versionOf(view.rows, loop, name, version);
  // A version that is asked for by its number may be a deleted one.
  if (row === null || (version === 0 && row.deleted)) return err(documentNotFound(view, loop, name, version));
  return ok(row);
}

function asAtBegin(view: MachineView, { loop, name }: WantedDocument, ref: PhaseRef): Result<DocumentRow, StatusError> {
  const run = findRun(view, ref);
  if (!run.ok) return run;
  const revision = snapshotOf(view.rows.watch.get(runKey(ref.loop, ref.g, run.value.position)));
  if (revision === null) {
    const message = `${ref.phase} of round ${ref.g} is ${run.value.state} and holds no snapshot; leave of_run out`;
    return err(failure('PHASE_NOT_RUNNING', message, { metadata: { state: run.value.state } }));
  }
  const row = versionAt(view.rows, loop, name, revision);
  return row === null || row.deleted ? err(documentNotFound(view, loop, name)) : ok(row);
}

function documentNotFound(view: MachineView, loop: string, name: string, version = 0): StatusError {
  if (view.loop(loop) === null) return loopNotFound(loop);
  const newest = view.rows.document.get(documentKey(loop, name))?.version ?? 0;
  const what = version === 0 ? `no document ${name}` : `no version ${version} of ${name}, or it is not kept`;
  const metadata = { loop, name, newest_version: String(newest) };
  return failure('DOCUMENT_NOT_FOUND', `loop ${loop} has ${what}`, { metadata });
}

function loopNotFound(loop: string): StatusError {
  return failure('LOOP_NOT_FOUND', `there is no loop ${loop}; create it with CreateLoop`, { metadata: { loop } });
}

/** null: the caller named no clock. */
function deltaMessage(view: MachineView, loop: string, known: VectorClock | null): ClockDelta | null {
  const now = view.loop(loop)?.vectorClock;
  if (known === null || now === undefined) return null;
  const { entries, dropped } = encodeDelta(known, now);
  return { $typeName: 'quorate.v1.ClockDelta', changed: clockMessage(entries), dropped: [...dropped] };
}

/** Control documents of loops: text with a version, a SHA-256 and, if wanted, a JSON Schema. */
import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import { type Document as DocumentMessage, DocumentService } from '../gen/quorate/v1/document_pb.ts';
import { must } from '../types/assert.ts';
import { fromConsistency, fromRef, fromVectorClock, toAnswer, toNumber, toRef, toVectorClock } from './convert.ts';
import type { HeaderInit } from './mutations.ts';
import type { Reader } from './reader.ts';
import type { MutationAnswer, MutationOptions, PhaseRef, ReadOptions, VectorClock } from './types.ts';

/** Sends a mutation with the header that belongs to it. */
export type Send = <I extends DescMessage, O extends DescMessage>(
  method: DescMethodUnary<I, O>,
  request: (header: HeaderInit) => MessageInitShape<I>,
  options: MutationOptions | undefined,
) => Promise<MessageShape<O>>;

/** One version of a document, without what may be long. */
export interface DocumentInfo {
  readonly loop: string;
  readonly name: string;
  /** From 1; rises by one with every write, through deletions and rollbacks too. */
  readonly version: number;
  /** This version says that there is no document. */
  readonly deleted: boolean;
  /** Over the UTF-8 bytes of the content, 64 hexadecimal digits; '' for a deleted version. */
  readonly sha256: string;
  /** The phase run that wrote the content, which a rollback may have restored; null: written outside of any phase. */
  readonly writtenBy: PhaseRef | null;
  readonly caller: string;
  readonly changedRevision: number;
  readonly changedAtMs: number;
}

export interface Document extends DocumentInfo {
  readonly content: string;
  /** JSON Schema; null: none. */
  readonly schema: string | null;
  /** Vector clocks of the fields that have one of their own, by JSON pointer. */
  readonly causalFields: Readonly<Record<string, VectorClock>>;
  /** Of the loop; null unless `knownClock` was given. */
  readonly loopClock: VectorClock | null;
}

/** The attempt that writes: a rollback of its run undoes the write. */
export interface DocumentWriter {
  readonly ref: PhaseRef;
  readonly token: number;
}

interface WriteOptions extends MutationOptions {
  /** Left out: written outside of any phase; it survives rollbacks. */
  readonly by?: DocumentWriter;
  readonly vectorClock?: VectorClock;
}

export interface PutDocumentOptions extends WriteOptions {
  /** The version that the change was made from; 0, which is the default: there must be none. */
  readonly expectedVersion?: number;
  /** JSON Schema that the content must match; '' takes it away. Left out: as it was. */
  readonly schema?: string;
  /** JSON pointers of fields that get a vector clock of their own. Left out: as they were. */
  readonly causalFields?: readonly string[];
  /** Compared with the content by the member, if given. */
  readonly sha256?: string;
}

export interface DeleteDocumentOptions extends WriteOptions {
  readonly expectedVersion: number;
}

export interface DocumentWritten extends MutationAnswer {
  readonly version: number;
}

export interface GetDocumentOptions extends ReadOptions {
  /** Left out: the newest. */
  readonly version?: number;
  /** As it was when this run was begun. */
  readonly ofRun?: PhaseRef;
  /** The clock of the loop that the caller has: only what has changed since is sent. */
  readonly knownClock?: VectorClock;
}

const { method } = DocumentService;

/** What changes documents. */
export class DocumentWrites {
  readonly #send: Send;

  constructor(send: Send) {
    this.#send = send;
  }

  /** Writes the next version. Refused with VERSION_MISMATCH when somebody was faster: read it, redo the change. */
  async put(loop: string, name: string, content: string, options: PutDocumentOptions = {}): Promise<DocumentWritten> {
    const { expectedVersion = 0, schema, causalFields, sha256 = '' } = options;
    const response = await this.#send(
      method.putDocument,
      (header) => ({
        header,
        loop,
        name,
        expectedVersion: BigInt(expectedVersion),
        content,
        sha256,
        ...(schema === undefined ? {} : { schema }),
        ...(causalFields === undefined ? {} : { causalFields: { pointers: [...causalFields] } }),
        ...fromWriter(options),
      }),
      options,
    );
    return { ...toAnswer(response.header), version: toNumber(response.version) };
  }

  /** Writes a version that says that there is no document. */
  async delete(loop: string, name: string, options: DeleteDocumentOptions): Promise<DocumentWritten> {
    const expectedVersion = BigInt(options.expectedVersion);
    const response = await this.#send(
      method.deleteDocument,
      (header) => ({ header, loop, name, expectedVersion, ...fromWriter(options) }),
      options,
    );
    return { ...toAnswer(response.header), version: toNumber(response.version) };
  }

  /** The node is gone for good: its entries in vector clocks are dropped at the time that the answer names. */
  async decommissionNode(
    node: string,
    options?: MutationOptions,
  ): Promise<MutationAnswer & { readonly dropAtMs: number }> {
    const response = await this.#send(method.decommissionNode, (header) => ({ header, node }), options);
    return { ...toAnswer(response.header), dropAtMs: toNumber(response.dropAtMs) };
  }
}

/** Reads, and writes without a session: an unknown outcome surfaces at once. */
export class Documents {
  readonly #reader: Reader;
  readonly #writes: DocumentWrites;

  constructor(reader: Reader, writes: DocumentWrites) {
    this.#reader = reader;
    this.#writes = writes;
  }

  /** Refused with DOCUMENT_NOT_FOUND when there is none; a deleted version is shown when it is asked for by its number. */
  async get(loop: string, name: string, options: GetDocumentOptions = {}): Promise<Document> {
    const { version = 0, ofRun, knownClock } = options;
    const request = {
      loop,
      name,
      version: BigInt(version),
      ...(ofRun === undefined ? {} : { ofRun: fromRef(ofRun) }),
      ...(knownClock === undefined ? {} : { knownClock: fromVectorClock(knownClock) }),
      ...fromConsistency(options),
    };
    const response = await this.#reader.read(method.getDocument, request, options);
    const document = must(response.document, 'GetDocument answered without a document');
    const { clockDelta } = response;
    if (knownClock === undefined || clockDelta === undefined) return toDocument(document, null);
    const gone = new Set(clockDelta.dropped);
    const kept = Object.entries(knownClock).filter(([node]) => !gone.has(node));
    return toDocument(document, { ...Object.fromEntries(kept), ...toVectorClock(clockDelta.changed) });
  }

  /** Those that there are, by name. */
  list(loop: string, options?: ReadOptions): AsyncGenerator<DocumentInfo, void, undefined> {
    return this.#reader.pages(async (page) => {
      const request = { ...page, loop, ...fromConsistency(options) };
      const response = await this.#reader.read(method.listDocuments, request, options);
      return { rows: response.documents.map(toInfo), next: response.nextPageToken };
    });
  }

  /** The versions that are kept, newest first. */
  async history(loop: string, name: string, options?: ReadOptions): Promise<readonly DocumentInfo[]> {
    const request = { loop, name, ...fromConsistency(options) };
    return (await this.#reader.read(method.listDocumentVersions, request, options)).versions.map(toInfo);
  }

  /** See {@link DocumentWrites.put}. */
  put(loop: string, name: string, content: string, options?: PutDocumentOptions): Promise<DocumentWritten> {
    return this.#writes.put(loop, name, content, options);
  }

  /** See {@link DocumentWrites.delete}. */
  delete(loop: string, name: string, options: DeleteDocumentOptions): Promise<DocumentWritten> {
    return this.#writes.delete(loop, name, options);
  }
}

function fromWriter({ by, vectorClock }: WriteOptions) {
  const clock = { vectorClock: fromVectorClock(vectorClock) };
  return by === undefined ? clock : { ...clock, ref: fromRef(by.ref), fencingToken: BigInt(by.token) };
}

function toInfo(message: DocumentMessage): DocumentInfo {
  const { loop, name, deleted, sha256, writtenBy, caller } = message;
  return {
    loop,
    name,
    version: toNumber(message.version),
    deleted,
    sha256,
    writtenBy: writtenBy === undefined ? null : toRef(writtenBy),
    caller,
    changedRevision: toNumber(message.changedRevision),
    changedAtMs: toNumber(message.changedAtMs),
  };
}

function toDocument(message: DocumentMessage, loopClock: VectorClock | null): Document {
  const clocks = message.causalFields.map(({ pointer, vectorClock }) => [pointer, toVectorClock(vectorClock)] as const);
  const { content, schema } = message;
  const causalFields = Object.fromEntries(clocks);
  return { ...toInfo(message), content, schema: schema === '' ? null : schema, causalFields, loopClock };
}

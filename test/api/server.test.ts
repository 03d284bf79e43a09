/** The services about the server itself: cluster status, health, reflection. */
import { fromBinary } from '@bufbuild/protobuf';
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { type FileDescriptorProto, FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import { status as Code, type ServiceDefinition } from '@grpc/grpc-js';
import { service as healthService } from 'grpc-health-check';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { ClusterService } from '../../src/gen/quorate/v1/cluster_pb.ts';
import { PhaseService } from '../../src/gen/quorate/v1/phase_pb.ts';
import type { MemberId } from '../../src/types/ids.ts';
import { STREAM, TestApi } from './support.ts';

const api = new TestApi();
const { member } = api;

beforeAll(() => api.start());
afterAll(() => api.stop());

describe('cluster status', () => {
  it('is what the member knows', async () => {
    const answer = await api.call(ClusterService.method.getStatus, {});
    if (!answer.ok) throw new Error(answer.error.message);
    expect(answer.value).toMatchObject({
      clusterId: 'test',
      memberId: 'a',
      version: '1.2.3',
      fault: '',
      members: [
        { memberId: 'a', clientAddress: 'a.test:7100', voter: true, leader: true, matchIndex: 42n, active: true },
        { memberId: 'b', peerAddress: 'b.test:7200', voter: true, leader: false, matchIndex: 40n, active: true },
        { memberId: 'c', voter: false, leader: false, matchIndex: 0n, active: false },
      ],
      streams: [
        {
          streamId: 1,
          role: 'leader',
          term: 5n,
          leaderId: 'a',
          leaderClientAddress: 'a.test:7100',
          lastIndex: 43n,
          durableIndex: 42n,
          commitIndex: 41n,
          appliedIndex: 41n,
          sessions: 1n,
          waitingProposals: 2n,
          watches: 3n,
          firstEventRevision: 7n,
        },
      ],
    });
  });

  it('says why a member refuses work, and that it knows no leader', async () => {
    const { raft } = member.status(STREAM);
    const lost = { ...raft, role: 'follower', leader: null as MemberId | null } as const;
    member.statusFields = { fault: 'the disk is gone', raft: lost };
    const answer = await api.call(ClusterService.method.getStatus, {});
    expect(answer.ok && answer.value).toMatchObject({
      fault: 'the disk is gone',
      streams: [{ role: 'follower', leaderId: '', leaderClientAddress: '' }],
    });
  });
});

describe('health', () => {
  type Health = { status: string };
  const { Check: check, Watch: watch } = healthService as ServiceDefinition;

  function health(service: string): Promise<string | Code> {
    const { path, requestSerialize, responseDeserialize } = check as NonNullable<typeof check>;
    return new Promise((resolve) => {
      api.client.makeUnaryRequest(path, requestSerialize, responseDeserialize, { service }, (error, answer) =>
        resolve(error === null ? (answer as Health).status : error.code),
      );
    });
  }

  const services = [
    '',
    'quorate.v1.PhaseService',
    'quorate.v1.PipelineService',
    'quorate.v1.SessionService',
    'quorate.v1.WatchService',
    'quorate.v1.ClusterService',
    'quorate.v1.MembershipService',
    'quorate.v1.MaintenanceService',
  ];

  it('follows the member, for the server and for each service', async () => {
    for (const [serving, status] of [
      [false, 'NOT_SERVING'],
      [true, 'SERVING'],
      [false, 'NOT_SERVING'],
    ] as const) {
      api.api.setServing(serving);
      expect(await Promise.all(services.map(health))).toEqual(services.map(() => status));
    }
    expect(await health('quorate.v1.NoService')).toBe(Code.NOT_FOUND);
  });

  it('tells watchers of changes only', async () => {
    const { path, requestSerialize, responseDeserialize } = watch as NonNullable<typeof watch>;
    const call = api.client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, { service: '' });
    const seen: string[] = [];
    call.on('data', (answer: Health) => void seen.push(answer.status));
    call.on('error', () => {});
    await vi.waitFor(() => expect(seen).toEqual(['NOT_SERVING']));
    for (const serving of [false, true, true, true, false]) api.api.setServing(serving);
    await vi.waitFor(() => expect(seen).toEqual(['NOT_SERVING', 'SERVING', 'NOT_SERVING']));
    call.cancel();
  });
});

describe.each(['v1', 'v1alpha'])('reflection %s', (version) => {
  interface Answer {
    readonly services: string[];
    readonly files: FileDescriptorProto[];
    /** 0: no error. */
    errorCode: number;
  }

  /** ServerReflectionRequest, by field number. */
  const ASK = { fileByFilename: 3, fileContainingSymbol: 4, listServices: 7 } as const;

  /** The bytes of every length-delimited field `number` of a message, and its varints. */
  function fieldsOf(message: Uint8Array, number: number): { bytes: Uint8Array[]; numbers: number[] } {
    const found = { bytes: [] as Uint8Array[], numbers: [] as number[] };
    const reader = new BinaryReader(message);
    while (reader.pos < reader.len) {
      const [field, wireType] = reader.tag();
      if (wireType === WireType.LengthDelimited) {
        const bytes = reader.bytes();
        if (field === number) found.bytes.push(bytes);
      } else {
        const value = reader.int32();
        if (field === number) found.numbers.push(value);
      }
    }
    return found;
  }

  /** By the protocol's own field numbers: nothing of the library that answers is used to ask. */
  async function ask(what: keyof typeof ASK, text: string): Promise<Answer> {
    const same = (bytes: Buffer): Buffer => bytes;
    const call = api.client.makeBidiStreamRequest(
      `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`,
      same,
      same,
    );
    const response = new Promise<Buffer>((resolve, reject) => call.on('data', resolve).on('error', reject));
    call.write(Buffer.from(new BinaryWriter().tag(ASK[what], WireType.LengthDelimited).string(text).finish()));
    const bytes = Uint8Array.from(await response);
    call.end();
    const answer: Answer = { services: [], files: [], errorCode: 0 };
    for (const list of fieldsOf(bytes, 6).bytes) {
      for (const service of fieldsOf(list, 1).bytes) {
        for (const name of fieldsOf(service, 1).bytes) answer.services.push(new TextDecoder().decode(name));
      }
    }
    for (const list of fieldsOf(bytes, 4).bytes) {
      for (const file of fieldsOf(list, 1).bytes) answer.files.push(fromBinary(FileDescriptorProtoSchema, file));
    }
    for (const error of fieldsOf(bytes, 7).bytes) answer.errorCode = fieldsOf(error, 1).numbers[0] ?? 0;
    return answer;
  }

  it('lists every service', async () => {
    expect((await ask('listServices', '*')).services.sort()).toEqual([
      'grpc.health.v1.Health',
      'quorate.v1.AvailabilityService',
      'quorate.v1.ClusterService',
      'quorate.v1.CompensationWorkerService',
      'quorate.v1.CompensatorService',
      'quorate.v1.DocumentService',
      'quorate.v1.IssueService',
      'quorate.v1.LedgerService',
      'quorate.v1.MaintenanceService',
      'quorate.v1.MembershipService',
      'quorate.v1.OverrideService',
      'quorate.v1.PhaseService',
      'quorate.v1.PipelineService',
      'quorate.v1.PolicyService',
      'quorate.v1.RecoveryService',
      'quorate.v1.SessionService',
      'quorate.v1.WatchService',
    ]);
  });

  it('gives the file of a symbol, and every file that one imports, by name', async () => {
    const known = new Set<string>();
    let wanted = (await ask('fileContainingSymbol', 'quorate.v1.PhaseService')).files;
    const service = wanted.find((file) => file.name === 'quorate/v1/phase.proto')?.service[0];
    expect(service?.method.map((method) => method.name)).toEqual(PhaseService.methods.map((method) => method.name));
    while (wanted.length > 0) {
      for (const file of wanted) known.add(file.name);
      const imports = new Set(wanted.flatMap((file) => file.dependency).filter((name) => !known.has(name)));
      const answers = await Promise.all([...imports].map((name) => ask('fileByFilename', name)));
      expect(answers.filter((answer) => answer.errorCode !== 0)).toEqual([]);
      wanted = answers.flatMap((answer) => answer.files).filter((file) => !known.has(file.name));
    }
    expect(known).toContain('quorate/v1/common.proto');
  });

  it('knows the messages that errors carry, and says of others that it does not', async () => {
    const [file] = (await ask('fileContainingSymbol', 'google.rpc.ErrorInfo')).files;
    expect(file?.name).toBe('google/rpc/error_details.proto');
    expect((await ask('fileContainingSymbol', 'quorate.v1.Nothing')).errorCode).toBe(Code.NOT_FOUND);
  });
});

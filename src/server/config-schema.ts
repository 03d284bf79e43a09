/**
 * Every setting of a member, once: its type, bounds, default and help. Flags, environment variables, the file's keys,
 * `--print-config` and the messages all come from this table.
 */
import { z } from 'zod';
import { DEFAULT_MEMBER_SETTINGS } from '../node/options.ts';
import { isAddress } from '../types/address.ts';
import { FEATURE_LEVEL } from '../types/feature-level.ts';
import { isName } from '../types/ids.ts';
import {
  COMMAND_BYTES_MAX,
  LOG_CACHE_BYTES_MAX,
  MEMBERS_MAX,
  PROPOSAL_BYTES_MAX,
  PROPOSALS_MAX,
  UNCOMMITTED_BYTES_MAX,
} from '../types/limits.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const GiB = 1024 * MiB;

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export const LOG_FORMATS = ['json', 'pretty'] as const;

function whole(min: number, max: number) {
  const error = `must be a whole number from ${min} to ${max}`;
  return z.int({ error }).min(min, { error }).max(max, { error });
}

function name(what: string) {
  const error = `must be the name of a ${what}: 1 to 64 characters of a-z, 0-9 and '-', '-' not first or last`;
  return z.string({ error }).refine(isName, { error });
}

function address() {
  const error = 'must be host:port with a port from 1 to 65535, such as 10.0.0.1:7401';
  return z.string({ error }).refine(isAddress, { error });
}

function addressOrNone() {
  const error = 'must be host:port with a port from 1 to 65535, such as 127.0.0.1:7601, or empty';
  return z.string({ error }).refine((text) => text === '' || isAddress(text), { error });
}

function path(what: string) {
  return z.string({ error: `must be the path of ${what}` }).min(1, { error: `must be the path of ${what}` });
}

function webAddress() {
  const error = 'must be an http or https URL, such as https://alerts.example/quorate';
  const isWeb = (text: string): boolean => URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);
  return z.string({ error }).refine(isWeb, { error });
}

function oneOf<const T extends readonly [string, ...string[]]>(values: T) {
  return z.enum(values, { error: `must be one of ${values.join(', ')}` });
}

const memberSchema = z.strictObject(
  { id: name('member'), peerAddress: address(), clientAddress: address() },
  {
    error: (issue) =>
      issue.code === 'unrecognized_keys' ? undefined : 'must be {id, peerAddress, clientAddress}, all three as text',
  },
);

export const serverConfigSchema = z.strictObject({
  clusterId: name('cluster').describe('Name of the cluster; data of another cluster is refused.'),
  memberId: name('member').describe('Which of the members this process is.'),
  dataDir: z
    .string({ error: 'must be the path of a folder' })
    .min(1, { error: 'must be the path of a folder' })
    .describe('Folder of the log and the tables; created when it is missing.'),
  clientListen: address()
    .optional()
    .describe('Where clients are served, host:port. Default: clientAddress of this member.'),
  peerListen: address()
    .optional()
    .describe('Where other members are served, host:port. Default: peerAddress of this member.'),
  httpListen: addressOrNone()
    .default('')
    .describe('Where metrics, health and overrides are served over HTTP, host:port; empty: nowhere.'),
  members: z
    .array(memberSchema, { error: 'must be a list of {id, peerAddress, clientAddress}' })
    .min(1, { error: 'must name at least one member' })
    .max(MEMBERS_MAX, { error: `must name at most ${MEMBERS_MAX} members` })
    .describe(
      'Members of a new cluster and their addresses, the same on each; later, where members are. This one included.',
    ),
  join: z
    .boolean({ error: 'must be true or false' })
    .default(false)
    .describe('Wait to be added to a cluster that exists (quorate member add), instead of starting a new one.'),
  raft: z
    .strictObject({
      tickMs: whole(1, 10_000).default(DEFAULT_MEMBER_SETTINGS.tickMs).describe('Length of a Raft tick, milliseconds.'),
      electionTicks: whole(3, 10_000)
        .default(DEFAULT_MEMBER_SETTINGS.electionTicks)
        .describe('Election timeout; the real one is drawn from [n, 2n) ticks.'),
      heartbeatTicks: whole(1, 5_000)
        .default(DEFAULT_MEMBER_SETTINGS.heartbeatTicks)
        .describe('Time between heartbeats, ticks; less than half of electionTicks.'),
      leaseTicks: whole(1, 10_000)
        .optional()
        .describe(
          'For so long after it heard a leader a follower votes for nobody, ticks. Default: half of electionTicks.',
        ),
      leaseMs: whole(0, 100_000)
        .optional()
        .describe(
          'For so long a leader may answer lease reads by itself, milliseconds; 0: never. Default: 80 % of leaseTicks.',
        ),
    })
    .prefault({}),
  wal: z
    .strictObject({
      segmentBytes: whole(4 * MiB, GiB)
        .default(16 * MiB)
        .describe('Preallocated size of a log segment, bytes.'),
      compressBytesMin: whole(64, GiB)
        .default(KiB)
        .describe('Batches larger than this are compressed when that pays, bytes.'),
      keepBytes: whole(0, 1024 * GiB)
        .default(DEFAULT_MEMBER_SETTINGS.logKeepBytes)
        .describe('Log kept behind what the tables on disk have, bytes, for members that lag a little.'),
      keepSlowBytes: whole(0, 1024 * GiB)
        .default(DEFAULT_MEMBER_SETTINGS.logKeepSlowBytes)
        .describe('The same for members that follow but lag more; they are sent an image beyond it.'),
    })
    .prefault({}),
  limits: z
    .strictObject({
      proposalsMax: whole(1, 1_000_000)
        .default(PROPOSALS_MAX)
        .describe('Mutations that may wait for their commit in this member.'),
      proposalBytesMax: whole(COMMAND_BYTES_MAX, GiB)
        .default(PROPOSAL_BYTES_MAX)
        .describe('The same in bytes; at most uncommittedBytesMax.'),
      uncommittedBytesMax: whole(COMMAND_BYTES_MAX, GiB)
        .default(UNCOMMITTED_BYTES_MAX)
        .describe('What a leader may append and not commit, bytes.'),
      logCacheBytesMax: whole(MiB, 4 * GiB)
        .default(LOG_CACHE_BYTES_MAX)
        .describe('Applied entries kept in memory for members that lag, bytes.'),
    })
    .prefault({}),
  storeFlushMs: whole(1, 60_000)
    .default(DEFAULT_MEMBER_SETTINGS.storeFlushMs)
    .describe('Tables are written to disk after this time at the latest, milliseconds.'),
  storeFlushBytes: whole(64 * KiB, GiB)
    .default(DEFAULT_MEMBER_SETTINGS.storeFlushBytes)
    .describe('And as soon as commands of so many bytes were applied since the last time.'),
  partitionMs: whole(100, 3_600_000)
    .default(DEFAULT_MEMBER_SETTINGS.partitionMs)
    .describe('Without contact with a majority for so long a member is PARTITIONED, milliseconds.'),
  featureLevelMax: whole(1, FEATURE_LEVEL)
    .default(FEATURE_LEVEL)
    .describe('Feature level that this member claims to support; lower than its release, to keep the cluster back.'),
  budgetFile: path('a file')
    .optional()
    .describe('What effects may cost, in YAML, read again when it changes. Default: 500 units for each trace.'),
  fxFile: path('a file').optional().describe('Exchange rates with their day, in YAML, read again when it changes.'),
  alertWebhook: webAddress().optional().describe('URL that the leader posts alerts to.'),
  hooks: z
    .strictObject({
      caFile: path('a file')
        .optional()
        .describe(
          'Certificates, PEM, that compensators and the webhook must be vouched for by. gRPC is encrypted with it.',
        ),
      certFile: path('a file')
        .optional()
        .describe('Certificate, PEM, that the member shows to compensators and the webhook; with hooks.keyFile.'),
      keyFile: path('a file').optional().describe('Its private key, PEM.'),
      hmacSecretFile: path('a file')
        .optional()
        .describe('Secret that HTTP calls of compensators are signed with; white space around it does not count.'),
      allow: z
        .string({ error: 'must be hosts, host:port or URLs, parted by commas' })
        .optional()
        .describe(
          'Hosts, host:port or URL prefixes, parted by commas: compensators elsewhere are refused. Default: all are called.',
        ),
    })
    .prefault({}),
  trace: z
    .strictObject({
      folder: path('a folder')
        .optional()
        .describe('Folder in which the member writes what its consensus core does, for checking; see docs/trace.md.'),
      bytesMax: whole(MiB, 64 * GiB)
        .default(256 * MiB)
        .describe('The file in it does not grow beyond this, bytes.'),
    })
    .prefault({}),
  log: z
    .strictObject({
      level: oneOf(LOG_LEVELS).default('info').describe('Least severe message that is written to stderr.'),
      format: oneOf(LOG_FORMATS).default('json').describe('json: an object for each line; pretty: text for people.'),
    })
    .prefault({}),
});

export type ServerConfigInput = z.infer<typeof serverConfigSchema>;

/**
 * Configurations ⇄ `quorate.internal.v1.Configuration`, version 1: the payload of configuration entries, and a part of the
 * mark of an image. A configuration that is misread loses data (a majority of the wrong members), so anything that this
 * release does not know in full is refused: fields of a later release, too.
 */
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import type { Configuration as ConfigurationMessage } from '../gen/quorate/internal/v1/log_pb.ts';
import { ConfigurationSchema } from '../gen/quorate/internal/v1/log_pb.ts';
import type { Configuration } from '../raft/types.ts';
import { assert } from '../types/assert.ts';
import { isName, type MemberId } from '../types/ids.ts';
import { err, ok, type Result } from '../types/result.ts';

/** Version of the format that this release writes, and the only one that it reads. */
export const CONFIGURATION_VERSION = 1;

/** The payload of a configuration entry. A configuration that {@link decodeConfiguration} would refuse is a bug. */
export function encodeConfiguration(configuration: Configuration): Uint8Array {
  return toBinary(ConfigurationSchema, configurationToMessage(configuration));
}

/** Reads what {@link encodeConfiguration} wrote. Throws for everything else; the message says what is wrong. */
export function decodeConfiguration(payload: Uint8Array): Configuration {
  let message: ConfigurationMessage;
  try {
    message = fromBinary(ConfigurationSchema, payload);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`not a configuration: ${why}`, { cause });
  }
  const decoded = configurationFromMessage(message);
  if (!decoded.ok) throw new Error(decoded.error);
  return decoded.value;
}

export function configurationToMessage(configuration: Configuration): ConfigurationMessage {
  const fault = faultOf(configuration);
  assert(fault === null, `a configuration of our own is well-formed: ${fault}`);
  const { voters, votersOutgoing, learners } = configuration;
  return {
    $typeName: 'quorate.internal.v1.Configuration',
    version: CONFIGURATION_VERSION,
    voters: [...voters],
    votersOutgoing: [...votersOutgoing],
    learners: [...learners],
  };
}

export function configurationFromMessage(message: ConfigurationMessage): Result<Configuration, string> {
  if (message.version !== CONFIGURATION_VERSION) {
    return err(
      `configuration version ${message.version} is unknown (this release reads ${CONFIGURATION_VERSION}): upgrade this member`,
    );
  }
  const unknown = message.$unknown?.[0];
  if (unknown !== undefined) {
    return err(`configuration has a field ${unknown.no} that this release does not know: upgrade this member`);
  }
  const configuration: Configuration = {
    voters: message.voters as MemberId[],
    votersOutgoing: message.votersOutgoing as MemberId[],
    learners: message.learners as MemberId[],
  };
  const fault = faultOf(configuration);
  return fault === null ? ok(configuration) : err(fault);
}

/** What is wrong with the configuration, or null. */
function faultOf({ voters, votersOutgoing, learners }: Configuration): string | null {
  if (voters.length === 0) return 'configuration without voters';
  for (const [what, ids] of [
    ['voters', voters],
    ['outgoing voters', votersOutgoing],
    ['learners', learners],
  ] as const) {
    const stranger = ids.find((id) => !isName(id));
    if (stranger !== undefined) return `configuration: one of the ${what} is no member id`;
    if (!ids.every((id, i) => i === 0 || (ids[i - 1] ?? '') < id)) {
      return `configuration: the ${what} are not sorted, or not distinct`;
    }
  }
  const both = learners.find((id) => voters.includes(id));
  return both === undefined ? null : `configuration: ${both} is voter and learner`;
}

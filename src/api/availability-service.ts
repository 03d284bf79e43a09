/**
 * AvailabilityService: members that are slow or away (A1–A3), and permit-async (A2).
 *
 * A permission is checked here because only the leader knows the configuration: at least floor(N/2)+1 voters besides the member must
 * be there that acknowledge after their fsync. While it holds, the leader looks at that again and again (`availability/decide.ts`).
 */
import { mayBeAsync } from '../availability/decide.ts';
import { AvailabilityService, type MemberAvailability } from '../gen/quorate/v1/availability_pb.ts';
import type { MachineView } from '../machine/api.ts';
import { availabilityRows, sidelined } from '../machine/availability/view.ts';
import type { MemberStatus } from '../node/types.ts';
import type { RawDefinition, ServiceShape } from '../rpc/service.ts';
import type { StatusError } from '../rpc/status.ts';
import { DATA_STREAM, type MemberId } from '../types/ids.ts';
import { err, ok } from '../types/result.ts';
import type { ApiContext } from './context.ts';
import { failure, refused } from './errors.ts';
import { leaderOnly } from './member-changes.ts';
import { isIn, roleIn } from './members.ts';
import { mutation } from './mutation.ts';
import { read } from './read.ts';
import type { RawUnaryHandler } from './unary.ts';

const { method } = AvailabilityService;

type Handlers = { readonly [Name in keyof RawDefinition<ServiceShape<typeof AvailabilityService>>]: RawUnaryHandler };

export function availabilityHandlers(context: ApiContext): Handlers {
  return {
    getAvailability: read(context, method.getAvailability, {
      params: () => null,
      answer: (view) => {
        const { raft } = context.member.status(DATA_STREAM);
        const $typeName = 'quorate.v1.GetAvailabilityResponse' as const;
        return ok({ $typeName, members: memberMessages(view, raft.configuration), timeMs: BigInt(view.timeMs) });
      },
    }),
    permitAsync: mutation(context, method.permitAsync, {
      session: 'optional',
      body: ({ memberId, on }, check) => {
        return { kind: 'permitAsync', member: check.memberId('member_id', memberId), on };
      },
      prepare: async (body, request, { deadlineMs }) => {
        const view = await context.member.read(DATA_STREAM, deadlineMs, { kind: 'linearizable' });
        if (view.kind === 'refused') return err(refused(view, context.addressOf));
        const status = context.member.status(DATA_STREAM);
        const member = request.memberId as MemberId;
        const unfit = leaderOnly(context, status) ?? (request.on ? checkPermission(status, view.view, member) : null);
        return unfit === null ? ok(body) : err(unfit);
      },
      kind: 'availabilityChanged',
      answer: (header) => ({ $typeName: 'quorate.v1.PermitAsyncResponse' as const, header }),
    }),
  };
}

function memberMessages(view: MachineView, configuration: MemberStatus['raft']['configuration']): MemberAvailability[] {
  return availabilityRows(view).map((row) => ({
    $typeName: 'quorate.v1.MemberAvailability',
    memberId: row.member,
    role: roleIn(configuration, row.member),
    lagging: row.lagging,
    asyncUntilMs: BigInt(row.asyncUntilMs),
    isolatedAtMs: BigInt(row.isolatedAtMs),
    evictAtMs: BigInt(row.evictAtMs),
    evictionBlocked: row.evictionBlocked,
    issue: BigInt(row.issue),
  }));
}

/** null: the permission may be given. */
function checkPermission({ raft }: MemberStatus, view: MachineView, member: MemberId): StatusError | null {
  const { configuration, peers } = raft;
  const { voters, votersOutgoing } = configuration;
  const metadata = { member };
  if (!isIn(configuration, member)) {
    const message = `there is no member ${member}; \`quorate member list\` shows who is there`;
    return failure('MEMBER_NOT_FOUND', message, { metadata });
  }
  if (!voters.includes(member)) {
    const message = `${member} is no voter: nobody waits for its acknowledgements`;
    return failure('MEMBER_NOT_VOTER', message, { metadata });
  }
  if (member === raft.id) {
    const message = `${member} leads, and a leader always waits for its own fsync; hand leadership over first: \`quorate leader transfer\``;
    return failure('AVAILABILITY_LIMIT', message, { metadata });
  }
  const { doubtful } = sidelined(view);
  const sound = peers.filter(
    ({ id, active, recovering }) => active && !recovering && id !== member && !doubtful.has(id),
  );
  const others = voters.filter((id) => id === raft.id || sound.some((peer) => peer.id === id));
  const needed = Math.floor(voters.length / 2) + 1;
  if (votersOutgoing.length === 0 && mayBeAsync(voters, member) && others.length >= needed) return null;
  const message =
    votersOutgoing.length > 0
      ? 'the members are being changed; try again when that is through: `quorate member list`'
      : `${needed} voters besides ${member} must be there that acknowledge after their fsync, and ${others.length} are; bring others back first`;
  return failure('AVAILABILITY_LIMIT', message, { metadata });
}

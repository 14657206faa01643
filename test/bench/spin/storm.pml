/*
 * The storm of machines/races/storm.ts with listeners that remember. Every step there is one
 * transition here; no process dies and nothing is initialised by steps, so that without reduction
 * the states are the same ones, as many as hotrace's.
 *
 *   N            devices
 *   COLLAPSED    what the mutex protects is one step and the mutex is left out
 *   SPLIT_COUNT  every thread has its own part of the reference count, which is then no longer
 *                checked: a step that SPIN's reduction knows to be local
 */

#define NONE    0
#define ADDED   1
#define DELETED 2
#define WRONG   3

#ifdef SPLIT_COUNT
#define PART bit part;
#define GET part = 1
#define PUT part = 1
#else
#define PART
/* Others hold the group as well: it is not freed. */
byte refs = 4 * N;
#define GET d_step { assert(refs > 0); refs++ }
#define PUT d_step { assert(refs > 0); refs-- }
#endif

#ifdef COLLAPSED
#define LOCK
#define UNLOCK
#define LIST bit
#else
byte owner;
#define LOCK d_step { owner == 0 -> owner = _pid + 1 };
#define UNLOCK ; d_step { assert(owner == _pid + 1); owner = 0 }
/* `local` tells the reduction that nobody else can touch it meanwhile: the mutex sees to that. */
#define LIST local bit
#endif

LIST on[N];
byte heard0[N];
byte heard1[N];

/* Outside the state. */
hidden byte dev;
hidden byte violated;

/* WRONG is for good (INV-01). */
#define HEAR_ADD(heard, d) \
  d_step { if :: heard[d] == NONE -> heard[d] = ADDED :: else -> heard[d] = WRONG fi }
#define HEAR_DEL(heard, d) \
  d_step { if :: heard[d] == ADDED -> heard[d] = DELETED :: else -> heard[d] = WRONG fi }
#define LIST_ADD(d) d_step { assert(!on[d]); on[d] = 1 }
#define LIST_DEL(d) on[d] = 0

active [N] proctype add() {
  PART
  GET;
  LOCK LIST_ADD(_pid) UNLOCK;
  HEAR_ADD(heard0, _pid);
  HEAR_ADD(heard1, _pid)
}

active [N] proctype remove() {
  PART
  HEAR_DEL(heard0, _pid - N);
  HEAR_DEL(heard1, _pid - N);
  LOCK LIST_DEL(_pid - N) UNLOCK;
  PUT
}

/*
 * One error for each final state in which somebody heard something wrong. It moves only when nobody
 * else can, and back to where it was: no state more. Being the last process and never ending, it
 * also keeps those before it from dying.
 */
active proctype monitor() {
end:
  do
  :: d_step {
       timeout;
       dev = 0;
       violated = 0;
       do
       :: dev < N ->
          if
          :: heard0[dev] == WRONG || heard1[dev] == WRONG -> violated = 1
          :: else
          fi;
          dev++
       :: else -> break
       od;
       assert(!violated)
     }
  od
}

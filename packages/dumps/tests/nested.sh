#!/bin/sh
# Boots systemd with one unit in a mount, process and cgroup namespace of its own, on a copy-on-write view of this
# machine's root. Started by test_systemd.py through unshare(1), with names in the environment:
#   WORK     a folder of the test: files for /etc/sealwright, the unit, a file that stands for core_pattern
#   UNIT     the unit's name
#   BASE SITE SOURCE   the interpreter's prefix, its packages, and our source, none of which the unit may see in /root
set -eu
mount --make-rprivate /
mount -t tmpfs tmpfs "$WORK/view"
mkdir "$WORK/view/upper" "$WORK/view/work" "$WORK/view/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$WORK/view/upper,workdir=$WORK/view/work" "$WORK/view/root"
cd "$WORK/view/root"
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
mount -t tmpfs tmpfs run
mkdir -p run/units run/sealwright-dumps srv/dumps etc/sealwright old
mount --bind /run/sealwright-dumps run/sealwright-dumps  # the kernel looks for the socket outside
umount -R sys/fs/cgroup  # systemd mounts what it needs, from this namespace's own root
mount --bind "$WORK/pattern" proc/sys/kernel/core_pattern  # see Pattern in the test

for pair in "$BASE opt/gate-base" "$SITE opt/gate-site" "$SOURCE opt/gate-source"; do
    from=${pair% *} to=${pair#* }
    mkdir -p "$to"
    mount --bind ".$from" "$to"
done
mkdir -p "opt/gate/bin" "opt/gate/lib/$PYTHON/site-packages"
printf 'home = /opt/gate-base/bin\ninclude-system-site-packages = false\n' > opt/gate/pyvenv.cfg
ln -s "/opt/gate-base/bin/$PYTHON" opt/gate/bin/python
printf '/opt/gate-source\n/opt/gate-site\n' > "opt/gate/lib/$PYTHON/site-packages/gate.pth"
printf '#!/bin/sh\nLD_LIBRARY_PATH=/opt/gate-base/lib exec /opt/gate/bin/python -I -m sealwright_dumps "$@" 2>>/run/sealwright-dumps/said\n' > usr/bin/sealwright-dumps
chmod 755 usr/bin/sealwright-dumps
cp "$WORK"/etc/* etc/sealwright/

cp "$WORK/$UNIT" run/units/
for name in basic default local-fs multi-user paths shutdown slices sockets sysinit timers umount; do
    printf '[Unit]\nDescription=%s\nDefaultDependencies=no\n' "$name" > "run/units/$name.target"
done
printf 'Wants=%s\n' "$UNIT" >> run/units/default.target

pivot_root . old
exec chroot . /usr/bin/env -i container=sealwright-test SYSTEMD_UNIT_PATH=/run/units PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --system --log-target=console --show-status=0

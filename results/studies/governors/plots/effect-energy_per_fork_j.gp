# Drawn by forksim plot; run `gnuplot effect-energy_per_fork_j.gp` in this folder to draw it again.
set terminal svg size 1000,324 font "DejaVu Sans,13" background "white" noenhanced name "effect_energy_per_fork_j"
set output "effect-energy_per_fork_j.svg"
set title "governors: energy_per_fork_j by governor"
set xlabel "energy_per_fork_j relative to governor = performance, 95 % interval, 20 seeds"
set xrange [0.9588:1.667]
set format x "%.4g"
set yrange [0.4:3.6]
set ytics ("powersave" 3, "ondemand" 2, "schedutil" 1)
set border 3
set tics nomirror
set grid xtics mxtics lt 1 lw 1 lc rgb "#c8c8c8", lt 1 lw 1 lc rgb "#ebebeb"
set arrow from 1, graph 0 to 1, graph 1 nohead lw 1.5 lc rgb "#404040"
set key outside right top vertical Left reverse samplen 1 spacing 1.2
plot "effect-energy_per_fork_j.dat" index 0 using 1:2:3:4 with xerrorbars pt 7 ps 0.8 lw 1.6 lc rgb "#0072b2" title "fork_rate", \
     "effect-energy_per_fork_j.dat" index 1 using 1:2:3:4 with xerrorbars pt 7 ps 0.8 lw 1.6 lc rgb "#d55e00" title "fork_clients", \
     "effect-energy_per_fork_j.dat" index 2 using 1:2:3:4 with xerrorbars pt 7 ps 0.8 lw 1.6 lc rgb "#009e73" title "fork_storm", \
     "effect-energy_per_fork_j.dat" index 3 using 1:2:3:4 with xerrorbars pt 7 ps 0.8 lw 1.6 lc rgb "#cc79a7" title "make_j4"
unset output
set terminal pngcairo size 1000,324 font "DejaVu Sans,13" background "white" noenhanced
set output "effect-energy_per_fork_j.png"
replot
unset output
